"""The runbook's way out when what is kept here looks newer than the truth: forget the versions, read the days again."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from local.simulators.intakeq.wire import to_ms
from moonlit.sync.applying import Applier
from moonlit.sync.webhook import Inbox, Receiver
from moonlit.sync.window import Window
from tests.conftest import ROOT
from tests.fixtures_intakeq import NOON, make_account, make_visit
from tests.fixtures_sync import MemoryQueue, Night, StartNight, nobody_asks

SECRET = "long-random-path-segment"
TITLE = "What the EHR shows is taken for old"
VISITS = [make_visit(number, NOON + timedelta(days=number)) for number in range(1, 4)]
MARCH = Window(date(2027, 3, 1), date(2027, 3, 31))


@pytest.fixture
def night(start_night: StartNight) -> Night:
    night = start_night(make_account(appointments=VISITS))
    night.practice.patient("4821")
    night.run()
    return night


def forge(night: Night, event_type: str, visit: dict[str, Any], **fields: Any) -> None:
    """Have an event of next year arrive that nobody in the practice knows of."""
    row = visit | {"LastModified": to_ms(NOON + timedelta(days=365))} | fields
    body = json.dumps({"EventType": event_type, "Appointment": row, "ClientId": row["ClientId"]}).encode()
    queue, practice = MemoryQueue(), night.practice
    Receiver(Inbox(practice.begin, practice.clock, queue), [SECRET]).receive(SECRET, body)
    applier = Applier(practice.begin, practice.clock, nobody_asks, nobody_asks)
    for message in queue.take():
        applier.apply(UUID(message["eventId"]))


def repair(night: Night) -> None:
    night.practice.clock.advance(minutes=5)
    night.practice.nightly(night.ehr, night.meter).start("manual_org", days=MARCH)
    night.practice.apply_all()


def forget(night: Night) -> None:
    section = (ROOT / "docs" / "runbook.md").read_text().partition(f"\n## {TITLE}\n")[2].partition("\n## ")[0]
    (statement,) = re.findall(r"^```sql\n(.+?)^```", section, re.DOTALL | re.MULTILINE)
    with night.practice.begin() as connection:
        connection.exec_driver_sql(statement)


def standing(night: Night) -> list[tuple[str, Any, bool, set[tuple[str, bool]]]]:
    """Return how each visit stands, and what time it has."""
    found = night.practice.visits().values()
    rows = [(row["status"], row["start"], row["deleted_in_ehr"], night.practice.claims(row["id"])) for row in found]
    return sorted(rows, key=lambda row: row[1])


def versions(night: Night) -> list[Any]:
    return night.practice.rows("select external_id, modified_at, content_hash from ehr_appointments order by 1")


def test_what_was_forged_is_undone_once_the_versions_are_forgotten(night: Night) -> None:
    before, kept = standing(night), versions(night)
    forge(night, "AppointmentCanceled", VISITS[0], Status="Canceled")
    forge(night, "AppointmentDeleted", VISITS[1])
    forged = standing(night)
    assert [status for status, *_ in forged] == ["cancelled", "cancelled", "confirmed"]
    repair(night)
    assert standing(night) == forged  # The truth is older than what was forged.

    forget(night)
    repair(night)
    assert standing(night) == before
    assert versions(night) == kept  # From here on an older telling is an older one again.


def test_an_ehr_that_was_put_back_to_a_backup_is_followed(night: Night, start_night: StartNight) -> None:
    before = standing(night)
    night.server.staff("update", id=VISITS[0]["Id"], fields={"Status": "Canceled"})
    night.server.staff("create", appointment=make_visit(9, NOON + timedelta(days=9), LastModified=to_ms(NOON)))
    night.practice.clock.advance(days=1)
    night.run()
    assert [status for status, *_ in standing(night)] == ["cancelled", "confirmed", "confirmed", "confirmed"]

    restored = start_night(make_account(appointments=VISITS))
    forget(restored)
    repair(restored)
    assert standing(restored)[:3] == before
    assert standing(restored)[3][0] == "cancelled"  # It was booked after the backup.
