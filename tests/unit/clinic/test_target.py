from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.clinic import ClinicRefused
from local.clinic.target import clock, database_url

HERE = "postgresql://somebody:word@127.0.0.1:5433/moonlit"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a stack whose clock is a day ahead."""
    monkeypatch.delenv("MOONLIT_CLOCK_FILE", raising=False)
    monkeypatch.setenv("MOONLIT_STATE", str(tmp_path))
    (tmp_path / "clock").write_text("86400")
    description = {"pid": os.getpid(), "databaseUrl": HERE.replace("postgresql:", "postgresql+pg8000:")}
    (tmp_path / "stack.json").write_text(json.dumps(description))
    return tmp_path


def hours_ahead() -> float:
    return round((clock().now() - datetime.now(UTC)) / timedelta(hours=1))


@pytest.mark.parametrize("scheme", ["postgresql+pg8000", "postgresql", "postgres"])
def test_every_usual_scheme_is_read_by_our_driver(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://somebody:p%40ss@db.example.org:5433/moonlit")

    url = database_url()

    assert (url.drivername, url.password, url.port) == ("postgresql+pg8000", "p@ss", 5433)


@pytest.mark.parametrize("given", ["mysql://somebody:word@localhost/x", "nonsense", ""])
def test_another_url_is_refused_without_repeating_it(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", given)

    with pytest.raises(ClinicRefused, match=r"^DATABASE_URL: is not a (PostgreSQL )?URL$"):
        database_url()


def test_the_clock_is_the_stacks_when_it_runs_on_the_database(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", HERE)
    assert hours_ahead() == 24


def test_the_clock_is_the_machines_for_another_database(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", HERE + "_copy")
    assert hours_ahead() == 0


def test_the_clock_is_the_machines_when_no_stack_runs(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stack / "stack.json").unlink()
    monkeypatch.setenv("DATABASE_URL", HERE)
    assert hours_ahead() == 0


def test_a_named_clock_goes_before_the_stacks(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stack / "named").write_text("172800")
    monkeypatch.setenv("MOONLIT_CLOCK_FILE", str(stack / "named"))
    monkeypatch.setenv("DATABASE_URL", HERE)
    assert hours_ahead() == 48
