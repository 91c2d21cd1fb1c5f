from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from local import demo_data, export_clinic, load_clinic
from moonlit.db import tables


@pytest.fixture(autouse=True)
def target(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Point the commands at this test's database, with no stack running."""
    monkeypatch.setenv("DATABASE_URL", database_url.replace("postgresql+pg8000:", "postgres:"))
    monkeypatch.setenv("MOONLIT_STATE", str(tmp_path))
    monkeypatch.delenv("MOONLIT_CLOCK_FILE", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.json"
    path.write_text(json.dumps(demo_data.clinic()))
    return path


def emptied(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"truncate {', '.join(table.name for table in tables.metadata.sorted_tables)}")


def test_a_file_is_loaded_and_exported(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "export.json"
    assert load_clinic.main([str(file)]) == 0
    assert export_clinic.main([str(out)]) == 0

    assert {row["id"] for row in json.loads(out.read_text())["patients"]} == {
        row["id"] for row in demo_data.clinic()["patients"]
    }
    assert "40 patients" in capsys.readouterr().out


def test_exports_are_equal_although_the_machines_clock_is_behind_the_file(
    engine: sa.Engine, file: Path, tmp_path: Path
) -> None:
    content = json.loads(file.read_text())
    # A stack whose clock was set ahead wrote this one: later than any machine's clock will be for a while.
    content["as_of"] = "2199-01-01T00:00:00Z"
    for visit in content["appointments"]:
        visit["status"] = "completed"
    file.write_text(json.dumps(content))
    first, second = tmp_path / "first.json", tmp_path / "second.json"

    assert load_clinic.main([str(file)]) == 0
    assert export_clinic.main([str(first)]) == 0
    emptied(engine)
    assert load_clinic.main([str(first)]) == 0
    assert export_clinic.main([str(second)]) == 0

    assert first.read_text() == second.read_text()
    assert {row["status"] for row in json.loads(first.read_text())["appointments"]} == {"completed"}


def test_a_malformed_file_is_refused_on_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('{"as_of": ')
    assert load_clinic.main([str(file)]) == 1
    said = capsys.readouterr()
    assert "line 1, column 11" in said.err
    assert "Traceback" not in said.err
    assert not said.out


def test_a_database_that_is_not_there_is_named_without_its_password(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:canary@127.0.0.1:1/nowhere")
    assert load_clinic.main([str(file)]) == 1
    assert export_clinic.main([str(file)]) == 1
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert "canary" not in said


def test_an_empty_database_exports_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "export.json"
    assert export_clinic.main([str(out)]) == 1
    assert not out.exists()
    assert "no practice" in capsys.readouterr().err
