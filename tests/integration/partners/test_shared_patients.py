"""Two houses look after one patient: what one of them does tells the other nothing but what changed."""

from __future__ import annotations

from typing import Any

from tests.fixtures_access import add_staff, as_user
from tests.fixtures_functions import records
from tests.fixtures_partners import HOUSE, OTHER_ADMIN, OTHER_HOUSE, Houses
from tests.integration.partners.test_brake import deliver
from tests.integration.partners.test_refreshes import progress, start, sync, timeline


def share_dana(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.functions.execute("delete from patient_organization_affiliations where patient_id = :p", p=houses.dana)
    for house in (HOUSE, OTHER_HOUSE):
        houses.affiliate(houses.dana, house)


def of_dana(houses: Houses, event: dict[str, Any]) -> dict[str, Any]:
    ((name, before),) = event["pathParameters"].items()
    path = event["rawPath"].replace(before, str(houses.dana))
    event["pathParameters"], event["rawPath"] = {name: str(houses.dana)}, path
    event["requestContext"]["http"]["path"] = path
    event.pop("body", None)
    return event


def test_line_of_another_house_s_refresh_looks_like_others(houses: Houses) -> None:
    share_dana(houses)
    add_staff(houses.functions, "admin", "s-office")
    made = iter(range(1, 9))

    def change() -> None:
        houses.functions.clock.advance(minutes=5)
        number = next(made)
        houses.in_ehr(number, 26 + number)

    change()
    houses.functions.call("sync_cron", {"waitSeconds": 0})
    houses.work()
    change()
    sync(houses, houses.dana)
    change()
    event = of_dana(houses, as_user("admin/sync_patient", sub="s-office"))
    assert houses.functions.call("admin", event)["statusCode"] == 200
    deliver(houses, 99, "AppointmentCreated")
    labels = {by for by, _ in timeline(houses, houses.dana)}
    assert len(labels) == 4
    change()
    sync(houses, houses.dana, OTHER_ADMIN)
    lines = timeline(houses, houses.dana)
    assert len(lines) == 5
    assert lines[0][0] in labels


def test_progress_shows_nobody_whom_another_house_has_brought_up_to_date(houses: Houses) -> None:
    ours = start(houses)
    start(houses, OTHER_ADMIN, OTHER_HOUSE)  # Joins the pull.
    assert houses.functions.call("sync_cron", houses.functions.take("PullQueue")) == {"batchItemFailures": []}
    messages = houses.functions.queues["SyncQueue"].take()
    for house in (OTHER_HOUSE, HOUSE):
        assert {each["status"] for each in progress(houses, ours)["patientResults"]} == {"queued"}
        part = [message for message in messages if message["organizationId"] == str(house)]
        assert houses.functions.call("sync_org", records(part)) == {"batchItemFailures": []}
    assert {each["status"] for each in progress(houses, ours)["patientResults"]} == {"synced"}


def test_last_sync_does_not_tell_of_another_house_s_refresh(houses: Houses) -> None:
    share_dana(houses)
    houses.in_ehr(1, 26)
    sync(houses, houses.dana, OTHER_ADMIN)
    assert houses.ask("sync_history", about=houses.dana)[1]["lastSync"] is None
    sync(houses, houses.dana)
    before = houses.ask("sync_history", about=houses.dana)[1]
    assert before["lastSync"] == "2027-03-10T12:00:00-07:00"
    houses.functions.clock.advance(minutes=5)
    sync(houses, houses.dana, OTHER_ADMIN)
    assert houses.ask("sync_history", about=houses.dana)[1] == before
    houses.functions.clock.advance(minutes=5)
    sync_id = start(houses)
    houses.work()
    assert progress(houses, sync_id)["status"] == "completed"
    assert houses.ask("sync_history", about=houses.dana)[1]["lastSync"] == "2027-03-10T12:10:00-07:00"


def test_everybody_whom_progress_shows_is_in_the_audit_log(houses: Houses) -> None:
    sync_id = start(houses)
    for _ in range(2):
        progress(houses, sync_id)
    late = houses.patient("Tess", "Ebb")
    houses.affiliate(late)
    for _ in range(2):
        assert str(late) in str(progress(houses, sync_id))
    noted = [row["patient_ids"] for row in houses.audit("read")]
    assert [late in patients for patients in noted] == [False, True]
