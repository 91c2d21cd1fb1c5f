"""The partner dashboard on a whole stack: signed in by real tokens, watched over HTTP, fed by real webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from local.running import running_stack
from tests.e2e.site import Answer, Site, until
from tests.fixtures_booking import make_clinic
from tests.fixtures_intakeq import NOON, make_account, make_client, make_visit

pytestmark = pytest.mark.stack

PATIENTS = 12
HOUSE, OTHER_HOUSE = UUID(int=0xA0), UUID(int=0xB0)
MANAGER, OTHER_MANAGER = "manager@example.org", "other.manager@example.org"
ORDER = ("queued", "syncing", "synced")


def patient_id(number: int) -> str:
    return str(UUID(int=0x5000 + number))


def address(number: int) -> str:
    return f"pat{number}.lund@example.org"


def clinic() -> dict[str, Any]:
    houses = ((HOUSE, "Stillwater House", MANAGER), (OTHER_HOUSE, "Lantern Row", OTHER_MANAGER))
    numbers = range(PATIENTS + 1)  # The last one is of the other house.
    return make_clinic(
        organizations=[{"id": str(house), "name": name, "active": True} for house, name, _ in houses],
        partner_users=[
            {"id": str(UUID(int=house.int + 1)), "organization_id": str(house), "email": email, "name": "Amos Tilbury",
             "role": "case_manager"}
            for house, _, email in houses
        ],
        patients=[
            {"id": patient_id(number), "first_name": f"Pat{number:02}", "last_name": "Lund", "email": address(number),
             "alternate_emails": [], "phone": None, "date_of_birth": "1988-05-23", "state": "UT", "timezone": None}
            for number in numbers
        ],
        patient_organization_affiliations=[
            {"id": str(UUID(int=0x6000 + number)), "patient_id": patient_id(number),
             "organization_id": str(HOUSE if number < PATIENTS else OTHER_HOUSE), "status": "active",
             "roi_consent": "active"}
            for number in numbers
        ],
    )  # fmt: skip


def account() -> dict[str, Any]:
    clients = [
        make_client(
            100 + number,
            FirstName=f"Pat{number:02}",
            LastName="Lund",
            Email=address(number),
            Phone=f"801-555-01{number:02}",
        )
        for number in range(PATIENTS + 1)
    ]
    return make_account(
        clients=clients,
        appointments=[
            make_visit(
                number + 1, NOON + timedelta(days=2, hours=number), ClientId=100 + number, ClientName=f"Pat{number:02} Lund",
                ClientEmail=address(number), TelehealthInfo={"Id": "1", "Provider": "IntakeQ", "StartUrl": f"https://meet.example/{number}"},
            )
            for number in range(PATIENTS + 1)
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("partners")
    (folder / "clinic.json").write_text(json.dumps(clinic()))
    (folder / "account.json").write_text(json.dumps(account()))
    files = {"CLINIC": str(folder / "clinic.json"), "INTAKEQ_ACCOUNT": str(folder / "account.json")}
    with running_stack(folder / "state", **files) as stack:
        yield Site(stack)


def ask(site: Site, method: str, path: str, email: str = MANAGER, **options: Any) -> Answer:
    token = site.stack["tokens"][email]
    return site.api(method, f"/partner-dashboard{path}", headers={"Authorization": f"Bearer {token}"}, **options)


def roster(site: Site) -> dict[str, Any]:
    answer = ask(site, "GET", "/patients?limit=200")
    assert answer.status == 200, answer
    return {item["patientId"]: item for item in answer.body["items"]}


def test_refresh_can_be_followed_patient_by_patient_from_queued_to_synced(site: Site) -> None:
    started = ask(site, "POST", f"/organizations/{HOUSE}/sync-all-patients")
    assert started.status == 202
    path = f"/syncs/{started.body['syncId']}"
    seen: dict[str, list[str]] = {patient_id(number): [] for number in range(PATIENTS)}
    processed: list[int] = []

    def looked() -> Any:
        said = ask(site, "GET", path).body
        processed.append(said["patientsProcessed"])
        for each in said["patientResults"]:
            if each["status"] not in seen[each["patientId"]]:
                seen[each["patientId"]].append(each["status"])
        return said if said["completedAt"] else None

    done = until(looked, "the refresh ends")
    assert (done["status"], done["patientsTotal"], done["patientsProcessed"]) == ("completed", PATIENTS, PATIENTS)
    assert sum(done["totalSummary"].values()) == PATIENTS
    assert processed[0] == 0
    assert sorted(processed) == processed
    for patient, statuses in seen.items():
        assert (statuses[0], statuses[-1]) == ("queued", "synced"), patient
        assert statuses == sorted(statuses, key=ORDER.index)
    assert all(item["nextAppointment"] for item in roster(site).values())


def test_house_of_others_and_no_token_open_nothing(site: Site) -> None:
    assert len(roster(site)) == PATIENTS
    assert ask(site, "GET", f"/patients/{patient_id(PATIENTS)}").status == 404
    assert ask(site, "GET", f"/patients/{patient_id(0)}", OTHER_MANAGER).status == 404
    assert ask(site, "POST", f"/organizations/{OTHER_HOUSE}/sync-all-patients").status == 404
    for headers in ({}, {"Authorization": "Bearer x.y.z"}):
        answer = site.api("GET", "/partner-dashboard/patients", headers=headers)
        assert (answer.status, answer.body) == (401, {"message": "Unauthorized"})
    refused = site.rows("select entity from audit_log where action = 'refused'")
    assert len(refused) == 3


def shown_start(site: Site, number: int) -> datetime | None:
    following = roster(site)[patient_id(number)]["nextAppointment"]
    return datetime.fromisoformat(following["start"]) if following else None


def test_change_in_the_ehr_is_in_the_roster_in_no_time(site: Site) -> None:
    site.night()
    site.simulator("POST", "webhook", {"url": site.stack["webhooks"]["intakeq"]})
    for shift in (1, 2, 3):
        start = NOON + timedelta(days=2 + shift)
        milliseconds = int(start.timestamp() * 1000)
        site.simulator("POST", "visits", {"action": "update", "id": f"{1:024x}", "fields": {"StartDate": milliseconds}})
        until(lambda: shown_start(site, 0) == start, "the roster shows the change")  # noqa: B023
    site.simulator("POST", "webhook", {"url": None})


def test_single_refresh_and_feed_over_http(site: Site) -> None:
    site.night()
    milliseconds = int((NOON + timedelta(days=3, hours=1)).timestamp() * 1000)
    site.simulator("POST", "visits", {"action": "update", "id": f"{2:024x}", "fields": {"StartDate": milliseconds}})
    answer = ask(site, "POST", f"/patients/{patient_id(1)}/sync")
    assert (answer.status, answer.body["summary"]["updated"]) == (200, 1)
    token = ask(site, "POST", "/calendar-token").body["token"]
    feed = site.api("GET", f"/partner-dashboard/calendar.ics?token={token}")
    assert feed.status == 200
    assert feed.headers["content-type"].startswith("text/calendar")
    assert feed.body.count("BEGIN:VEVENT") == PATIENTS
    assert ask(site, "DELETE", "/calendar-token").status == 204
    assert site.api("GET", f"/partner-dashboard/calendar.ics?token={token}").status == 401
