"""Services that are there twice, over HTTP: found, and merged with everything that refers to them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.audit.store import Actor
from moonlit.catalog.errors import MergeIntoInactive
from moonlit.catalog.merging import Merging, ServicesMerged
from moonlit.db import tables as t
from moonlit.db.engine import beginner, connect
from moonlit.practice.answers import SettingsWanted
from moonlit.practice.settings import Settings
from moonlit.sync.schedule_sql import DIRECTORY
from moonlit.web.etags import StaleEtag, etag
from tests.fixtures_access import add_staff, as_user
from tests.fixtures_booking import INES, INSTANCE, NEW_PAYER, PAYER, SERVICE_ID
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, SERVICE, open_intakeq, start_intakeq
from tests.fixtures_mirror import ADMIN, account_of, add_patient, as_admin, audited

__all__ = ["functions", "open_intakeq", "start_intakeq"]

MERGE, DUPLICATES = "admin/merge_service", "admin/service_duplicates"
TWICE, LIVE_TWIN, ALONE, ORPHAN, RETIRED = (UUID(int=number) for number in (0x31, 0x41, 0x42, 0x43, 0x44))
TABLES = (
    "appointments", "appointment_holds", "service_instances", "service_instance_integrations", "services", "ehr_writes",
    "practice_settings",
)  # fmt: skip


@pytest.fixture
def admin(functions: Functions) -> UUID:
    return add_staff(functions, "admin", ADMIN)


def add_service(functions: Functions, service_id: UUID = TWICE, name: str = "intake ", **values: Any) -> None:
    row = {"id": service_id, "name": name, "kind": "intake", "duration_minutes": 60, "modality": "telehealth", **values}
    with functions.begin() as connection:
        connection.execute(sa.insert(t.services).values(row))


def add_instance(functions: Functions, instance_id: UUID, payer_id: UUID | None, *mapped: str, **values: Any) -> None:
    """Store an instance of the duplicate; `mapped` are the EHRs that have a mapping, to `twice-<system>`."""
    row = {"id": instance_id, "service_id": TWICE, "payer_id": payer_id, "location": "Telehealth", "pos_code": "10"}
    mappings = [
        {"service_instance_id": instance_id, "system": system, "external_id": f"twice-{system}"} for system in mapped
    ]
    with functions.begin() as connection:
        connection.execute(sa.insert(t.service_instances).values(row | values))
        if mappings:
            connection.execute(sa.insert(t.service_instance_integrations), mappings)


def add_visit(functions: Functions, days: float, instance_id: UUID | None = None, **values: Any) -> UUID:
    start = NOON + timedelta(days=days)
    row = {
        "id": uuid4(), "patient_id": add_patient(functions), "provider_id": INES, "service_id": TWICE, "payer_id": PAYER,
        "service_instance_id": instance_id, "start": start, "end": start + timedelta(hours=1), "status": "confirmed",
        "system": "intakeq", "created_at": NOON, "updated_at": NOON, **values,
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.appointments).values(row))
    return UUID(str(row["id"]))


def add_hold(functions: Functions) -> None:
    values = {
        "provider_id": INES,
        "service_id": TWICE,
        "payer_id": PAYER,
        "start": NOON,
        "end": NOON,
        "created_at": NOON,
    }
    with functions.begin() as connection:
        connection.execute(sa.insert(t.appointment_holds).values(expires_at=NOON + timedelta(minutes=5), **values))


def merge(
    functions: Functions, into: object = SERVICE_ID, service: UUID = TWICE, dry_run: str | None = None
) -> tuple[int, Any]:
    query = {} if dry_run is None else {"dryRun": dry_run}
    event = as_admin(MERGE, json.dumps({"into": str(into)}), serviceId=service) | {"queryStringParameters": query}
    answer = functions.call("admin", event)
    return answer["statusCode"], json.loads(answer["body"])


def merged(functions: Functions, dry_run: str | None = None) -> Any:
    status, said = merge(functions, dry_run=dry_run)
    assert status == 200, said
    return said


def slug(answered: tuple[int, Any]) -> tuple[int, str]:
    return answered[0], answered[1]["type"].rpartition("/")[2]


def content(functions: Functions) -> dict[str, Any]:
    return {name: functions.rows(f"select to_jsonb(x) as row from {name} x order by 1") for name in TABLES}


def one(functions: Functions, table: str, row_id: UUID) -> Mapping[str, Any]:
    (row,) = functions.rows(f"select * from {table} where id = :id", id=row_id)
    return row


def service_of(functions: Functions, external_id: str) -> str | None:
    """Return which of our services the sync takes a service of IntakeQ for."""
    with functions.begin() as connection:
        found = json.loads(connection.execute(DIRECTORY, {"system": "intakeq"}).scalar_one())
    return dict(found["services"]).get(external_id)


@pytest.mark.parametrize("role", ["biller", "provider"])
def test_nobody_but_an_admin_may(functions: Functions, role: str) -> None:
    add_staff(functions, role, "s-1")
    add_service(functions)
    for name in (MERGE, DUPLICATES):
        assert functions.call("admin", as_user(name, sub="s-1"))["statusCode"] == 403
        assert functions.call("admin", as_user(name, sub="s-1", token_use="id"))["statusCode"] == 401
    assert len(functions.rows("select 1 from services where is_active")) == 2


# ── Merging ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def a_duplicate(functions: Functions) -> dict[str, UUID]:
    """Store the intake once more, with every kind of row that may refer to it; return its visits."""
    add_service(functions)
    add_instance(functions, LIVE_TWIN, PAYER, "intakeq", "athena")  # The intake has one at that place, for IntakeQ.
    add_instance(functions, ALONE, NEW_PAYER, "intakeq")
    add_instance(functions, ORPHAN, None)
    add_instance(
        functions, RETIRED, PAYER, "intakeq", location="Clinic", retired_at=NOON, retired_reason="duplicate_on_import"
    )
    add_hold(functions)
    visits = {
        "past": add_visit(functions, -40, LIVE_TWIN),
        "future": add_visit(functions, 3, LIVE_TWIN),
        "elsewhere": add_visit(functions, 4, ALONE),
        "bare": add_visit(functions, 5),
        "moving": add_visit(functions, 6, INSTANCE, service_id=SERVICE_ID),
    }
    defaults = [
        {"name": "Other", "service_id": str(uuid4()), "location": "Telehealth", "pos_code": "10", "mappings": {}},
        {"name": "Intake", "service_id": str(TWICE), "location": "Telehealth", "pos_code": "10", "required": True,
         "mappings": {"intakeq": "twice-intakeq"}},
    ]  # fmt: skip
    write = {
        "account_id": account_of(functions), "appointment_id": visits["moving"], "kind": "reschedule",
        "state": "unknown", "starts_at": NOON, "created_at": NOON, "next_look_at": NOON,
        "move": {"before": {"service_instance_id": str(LIVE_TWIN), "room_id": None}},
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.update(t.practice_settings).values(default_services=defaults))
        connection.execute(sa.insert(t.ehr_writes).values(write))
    return visits


def test_everything_of_the_service_moves_at_once(functions: Functions, admin: UUID) -> None:
    visits = a_duplicate(functions)
    before = content(functions)
    would = merged(functions, dry_run="true")
    assert content(functions) == before
    assert audited(functions, "merge") == []

    said = merged(functions, dry_run="false")
    assert would == said | {"dryRun": True}
    assert said == {
        "dryRun": False,
        "serviceId": str(TWICE), "into": str(SERVICE_ID), "appointments": 4, "holds": 1,
        "instancesMoved": [str(ALONE), str(ORPHAN)],
        "instancesRetired": [
            {"serviceInstanceId": str(LIVE_TWIN), "into": str(INSTANCE), "appointments": 2, "mappings": ["athena"]}
        ],
        "defaultServices": 1,
    }  # fmt: skip

    assert {name: one(functions, "appointments", each)["service_instance_id"] for name, each in visits.items()} == {
        "past": INSTANCE, "future": INSTANCE, "elsewhere": ALONE, "bare": None, "moving": INSTANCE,
    }  # fmt: skip
    for table in ("appointments", "appointment_holds", "service_instances"):
        assert {row["service_id"] for row in functions.rows(f"select service_id from {table}")} == {SERVICE_ID}
    twin = one(functions, "service_instances", LIVE_TWIN)
    assert (twin["retired_at"], twin["retired_reason"]) == (NOON, "duplicate_merged")
    assert one(functions, "service_instances", ALONE)["retired_at"] is None
    assert one(functions, "service_instances", RETIRED)["retired_reason"] == "duplicate_on_import"
    mappings = functions.rows("select service_instance_id, system, external_id from service_instance_integrations")
    assert {(row["service_instance_id"], row["system"]): row["external_id"] for row in mappings} == {
        (INSTANCE, "intakeq"): SERVICE, (INSTANCE, "athena"): "twice-athena", (LIVE_TWIN, "intakeq"): "twice-intakeq",
        (ALONE, "intakeq"): "twice-intakeq", (RETIRED, "intakeq"): "twice-intakeq",
    }  # fmt: skip
    (settings,) = functions.rows("select default_services from practice_settings")
    assert [each["service_id"] == str(SERVICE_ID) for each in settings["default_services"]] == [False, True]
    (write,) = functions.rows("select move from ehr_writes")
    assert write["move"] == {"before": {"service_instance_id": str(INSTANCE), "room_id": None}}
    assert (one(functions, "services", TWICE)["is_active"], one(functions, "services", SERVICE_ID)["is_active"]) == (
        False,
        True,
    )
    # What the EHR called either of them stands for one service.
    assert service_of(functions, SERVICE) == service_of(functions, "twice-intakeq") == str(SERVICE_ID)

    (line,) = audited(functions, "merge")
    assert (line["entity"], line["entity_id"], line["actor_id"], line["request_id"]) == (
        "service", str(TWICE), admin, "request",
    )  # fmt: skip
    assert line["before"] == {"isActive": True, "liveInstances": [str(each) for each in (LIVE_TWIN, ALONE, ORPHAN)]}
    assert line["after"] | {"dryRun": False} == said

    after = content(functions)
    assert merged(functions) == merged(functions, dry_run="true") | {"dryRun": False} == said
    assert content(functions) == after
    assert len(audited(functions, "merge")) == 1

    functions.clock.advance(minutes=1)
    add_visit(functions, 7, ALONE)  # A booking that was under way when the service was merged.
    assert merged(functions, dry_run="true") == said | {"appointments": 5, "dryRun": True}
    assert merged(functions) == merged(functions) == said | {"appointments": 5}
    assert [row["after"]["appointments"] for row in audited(functions, "merge")] == [4, 5]


def test_patients_are_offered_the_one_that_stays(functions: Functions, admin: UUID) -> None:
    add_service(functions)
    add_instance(functions, LIVE_TWIN, PAYER, "intakeq")

    def offered() -> list[str]:
        return [
            item["id"]
            for item in json.loads(functions.call("availability", sample("availability/services"))["body"])["items"]
        ]

    assert sorted(offered()) == [str(SERVICE_ID), str(TWICE)]
    merged(functions)
    assert offered() == [str(SERVICE_ID)]
    assert functions.call("book", sample("book/book"))["statusCode"] == 201


def test_a_merge_goes_on_after_the_other_service_was_merged_too(functions: Functions, admin: UUID) -> None:
    add_service(functions)
    add_visit(functions, 3)
    first = merged(functions)
    add_service(functions, UUID(int=0x32))
    assert merge(functions, UUID(int=0x32), SERVICE_ID)[0] == 200
    assert merged(functions) == first
    # Taken into use again it is a service as any other.
    functions.execute("update services set is_active = true where id = :id", id=TWICE)
    assert slug(merge(functions)) == (409, "merge-into-inactive")
    status, said = merge(functions, UUID(int=0x32))
    assert (status, said["appointments"]) == (200, 0)


def test_nothing_changes_when_a_merge_is_refused(functions: Functions, admin: UUID) -> None:
    a_duplicate(functions)
    others: list[dict[str, Any]] = [
        {"kind": "follow_up"}, {"modality": "in_person"}, {"room_required": True}, {"dose_required": True},
        {"is_active": False}, {"duration_minutes": 50},
    ]  # fmt: skip
    for number, values in enumerate(others):
        add_service(functions, UUID(int=0x100 + number), **values)
    before = content(functions)
    for number, member in enumerate(("kind", "modality", "roomRequired", "doseRequired")):
        for dry_run in (None, "true"):
            answered = merge(functions, UUID(int=0x100 + number), dry_run=dry_run)
            assert (slug(answered), answered[1]["differing"]) == ((409, "services-unlike"), [member])
    assert slug(merge(functions, UUID(int=0x104))) == (409, "merge-into-inactive")
    assert slug(merge(functions, TWICE)) == (409, "merge-into-itself")
    answered = merge(functions, UUID(int=0x105))
    assert (slug(answered), answered[1]["futureVisits"], answered[1]["liveHolds"]) == (
        (409, "visits-would-change-length"), 3, 1,
    )  # fmt: skip
    assert slug(merge(functions, service=uuid4())) == (404, "not-found")
    for into, code in ((uuid4(), "unknown_id"), ("x", "uuid_parsing")):
        status, said = merge(functions, into)
        assert (status, said["errors"]) == (422, [{"pointer": "/into", "code": code}])
    assert merge(functions, dry_run="yes")[0] == 422
    assert content(functions) == before
    assert audited(functions, "merge") == []
    assert len(audited(functions, "refused")) == 4

    # Lengths may differ where no visit could change its own: those that are over, cancelled, or held no more.
    functions.execute("update appointments set status = 'cancelled' where start > :now", now=NOON)
    assert slug(merge(functions, UUID(int=0x105))) == (409, "visits-would-change-length")
    functions.clock.advance(minutes=5)
    assert merge(functions, UUID(int=0x105))[0] == 200


def test_a_merge_that_cannot_be_noted_does_not_happen(functions: Functions, admin: UUID) -> None:
    a_duplicate(functions)
    before = content(functions)
    functions.execute("revoke insert on audit_log from moonlit_app")
    try:
        assert merge(functions)[0] == 500
    finally:
        functions.execute("grant insert on audit_log to moonlit_app")
    assert content(functions) == before


def test_of_two_opposite_merges_at_once_one_is_refused(functions: Functions, database_url: str) -> None:
    add_service(functions)
    add_visit(functions, 3)
    barrier = Barrier(2)

    def run(source: UUID, target: UUID) -> str:
        engine = connect(database_url)
        try:
            barrier.wait()
            done = Merging(beginner(engine), functions.clock).merge(source, target, Actor("staff"), dry_run=False)
            assert isinstance(done, ServicesMerged)
        except MergeIntoInactive:
            return "refused"
        finally:
            engine.dispose()
        return "merged"

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(run, *pair) for pair in ((TWICE, SERVICE_ID), (SERVICE_ID, TWICE))]
        assert sorted(each.result() for each in asked) == ["merged", "refused"]
    (standing,) = functions.rows("select id from services where is_active")
    assert functions.rows("select distinct service_id from appointments") == [{"service_id": standing["id"]}]


def test_settings_that_are_written_while_a_service_is_merged_do_not_bring_it_back(
    functions: Functions, database_url: str
) -> None:
    add_service(functions)
    default = {"name": "Twice", "service_id": str(TWICE), "location": "Telehealth", "pos_code": "10", "required": True}
    with functions.begin() as connection:
        connection.execute(sa.update(t.practice_settings).values(default_services=[{**default, "mappings": {}}]))
    engines = [connect(database_url) for _ in range(3)]
    merging, settings = Merging(beginner(engines[0]), functions.clock), Settings(beginner(engines[1]), functions.clock)
    read = settings.show()
    wanted = SettingsWanted.model_validate(read.model_dump(mode="json", by_alias=True) | {"name": "Renamed"})

    def wait_for(number: int) -> None:
        deadline = time.monotonic() + 10
        while functions.rows("select count(*) as n from pg_locks where not granted")[0]["n"] < number:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with ThreadPoolExecutor(2) as pool:
        with beginner(engines[2])() as connection:
            connection.execute(sa.select(t.practice_settings.c.name).with_for_update())
            merged_in = pool.submit(merging.merge, TWICE, SERVICE_ID, Actor("staff"), dry_run=False)
            wait_for(1)
            renamed = pool.submit(settings.replace, wanted, etag(read), Actor("staff"))
            wait_for(2)
        assert merged_in.result(timeout=10).default_services == 1
        with pytest.raises(StaleEtag):
            renamed.result(timeout=10)
    (kept,) = functions.rows("select default_services from practice_settings")
    assert [each["service_id"] for each in kept["default_services"]] == [str(SERVICE_ID)]
    for engine in engines:
        engine.dispose()


def test_every_column_that_names_a_service_or_an_instance_is_thought_of() -> None:
    """Whoever adds a column that refers to a service or an instance has to say here what a merge does with it."""
    found = {
        f"{table.name}.{column.name}"
        for table in t.metadata.sorted_tables
        for column in table.columns
        for key in column.foreign_keys
        if key.column.table.name in ("services", "service_instances")
    }
    assert found == {
        "appointment_holds.service_id", "appointments.service_id", "appointments.service_instance_id",
        "service_instance_integrations.service_instance_id", "service_instances.service_id",
    }  # fmt: skip


# ── Duplicates ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_services_of_one_name_are_shown_with_what_depends_on_them(functions: Functions, admin: UUID) -> None:
    def shown() -> Any:
        answer = functions.call("admin", as_admin(DUPLICATES))
        assert answer["statusCode"] == 200
        return json.loads(answer["body"])

    assert shown() == {"items": [], "nextCursor": None}
    visits = a_duplicate(functions)
    add_service(functions, UUID(int=0x33), "INTAKE", is_active=False)  # Nothing refers to it: it is no trouble.
    add_service(functions, UUID(int=0x34), "Intake visit")
    (group,) = shown()["items"]
    assert (group["name"], group["suggestedKeep"]) == ("intake", str(TWICE))  # The practice's default.
    assert [(each["id"], each["isDefault"], each["instances"], each["appointments"]) for each in group["services"]] == [
        (str(SERVICE_ID), False, 1, 1), (str(TWICE), True, 3, len(visits) - 1),
    ]  # fmt: skip
    assert group["services"][0] == {
        "id": str(SERVICE_ID), "name": "Intake", "kind": "intake", "modality": "telehealth", "durationMinutes": 60,
        "codes": ["90791"], "isActive": True, "instances": 1, "appointments": 1, "isDefault": False,
    }  # fmt: skip
    add_visit(functions, 9, service_id=UUID(int=0x33))
    assert len(shown()["items"][0]["services"]) == 3  # Visits refer to it by now.
    merged(functions)
    assert merge(functions, service=UUID(int=0x33))[0] == 200
    assert shown()["items"] == []
