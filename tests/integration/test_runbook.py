"""The runbook's SQL works on the schema as it is, and confirming a stopped night does what it says."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from moonlit.sync.request import SyncRequest
from tests.conftest import ROOT
from tests.fixtures_intakeq import NOON, make_account, make_visit, open_intakeq, start_intakeq
from tests.fixtures_sync import Practice, StartNight, practice, start_night

__all__ = ["open_intakeq", "practice", "start_intakeq", "start_night"]

BRAKE = "The brake stopped a night"


def sections() -> dict[str, str]:
    """Return the runbook's sections by their headings."""
    parts = (ROOT / "docs" / "runbook.md").read_text().split("\n## ")[1:]
    return {part.partition("\n")[0]: part for part in parts}


def statements() -> list[tuple[str, str]]:
    """Return every SQL statement with the heading that it stands under."""
    return [
        (heading, statement.strip())
        for heading, text in sections().items()
        for block in re.findall(r"^```sql\n(.+?)^```", text, re.DOTALL | re.MULTILINE)
        for statement in block.split(";")
        if statement.strip()
    ]


def filled(statement: str, value: object) -> str:
    """Return a statement with its psql variables replaced, as psql would."""
    return re.sub(r":'\w+'", f"'{value}'", statement)


@pytest.mark.parametrize(("heading", "statement"), statements())
def test_a_statement_runs_on_the_schema(engine: sa.Engine, heading: str, statement: str) -> None:
    with engine.connect() as connection:  # Never committed.
        connection.exec_driver_sql(filled(statement, uuid4()))


def test_a_night_that_the_brake_stopped_is_confirmed(practice: Practice, start_night: StartNight) -> None:
    practice.patient("4821", practice.organization())
    visits = [make_visit(number, NOON + timedelta(days=number)) for number in range(1, 31)]
    night = start_night(make_account(appointments=visits))
    night.run()
    for visit in visits[:20]:
        night.server.staff("cancel", id=visit["Id"])
    night.server.staff("delete", id=visits[20]["Id"])
    stopped = night.run()
    assert stopped["error"] == "brake"
    question, _ = [filled(statement, stopped["runId"]) for heading, statement in statements() if heading == BRAKE]
    with practice.begin() as connection:
        rows = connection.exec_driver_sql(question).mappings()
        assert {row["deleted_in_ehr"]: row["count"] for row in rows} == {False: 20, True: 1}

    payload = SyncRequest.model_validate_json(*re.findall(r"--payload '(.+)'", sections()[BRAKE]))
    run_id = practice.nightly(night.ehr, night.meter).start(payload.sync_type, confirm_brake=payload.confirm_brake)
    practice.apply_all()
    run = {"state": "completed", "error": None}
    assert practice.rows("select state, error from sync_runs where id = :id", id=run_id) == [run]
    statuses = [visit["status"] for visit in practice.visits().values()]
    assert (statuses.count("cancelled"), statuses.count("confirmed")) == (21, 9)
