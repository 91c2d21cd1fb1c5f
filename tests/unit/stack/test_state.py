"""The folder of a stack."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from local.state import NoStack, StackRunning, State

NO_PROCESS = 2**22 + 1  # More than Linux ever gives out.


def test_one_stack_holds_it_at_a_time(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    with state.held(), pytest.raises(StackRunning), state.held():
        pass
    with state.held():
        pass


def test_a_running_stack_is_described_to_its_owner_alone(tmp_path: Path) -> None:
    state = State(tmp_path)
    with state.held():
        state.publish({"apiUrl": "http://127.0.0.1:1"})
        assert state.description()["apiUrl"] == "http://127.0.0.1:1"
        assert stat.S_IMODE(state.description_file.stat().st_mode) == 0o600
    with pytest.raises(NoStack):
        state.description()


def test_what_a_killed_stack_left_is_ignored_and_cleared(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    database = tmp_path / "database"
    database.mkdir()
    state.logs.mkdir(parents=True)
    (state.logs / "old.log").touch()
    state.description_file.write_text(json.dumps({"pid": NO_PROCESS}))
    (state.folder / "postgres-folder").write_text(str(database))
    with pytest.raises(NoStack):
        state.description()
    with state.held():
        assert not database.exists()
        assert not state.description_file.exists()
        assert list(state.logs.iterdir()) == []


def test_a_server_folder_in_use_is_remembered_only_so_long(tmp_path: Path) -> None:
    state, database = State(tmp_path / "state"), tmp_path / "database"
    database.mkdir()
    with state.held(), state.server_folder(database):
        pass
    with state.held():
        assert database.exists()
