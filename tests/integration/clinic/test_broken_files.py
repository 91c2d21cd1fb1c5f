from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from local import demo_data
from local.clinic import ClinicRefused, load
from local.postgres import Server
from moonlit.db import tables
from moonlit.db.engine import connect

NOBODY = "00000000-0000-4000-8000-000000000000"
SECRET = "Zebulon Canary"

type Change = Callable[[dict[str, Any]], object]


def setting(table: str, **fields: object) -> Change:
    """Change fields of the second row of a table."""
    return lambda clinic: clinic[table][1].update(fields)


def without(table: str, field: str) -> Change:
    return lambda clinic: clinic[table][1].pop(field)


def twice(table: str) -> Change:
    return lambda clinic: clinic[table].append(clinic[table][0])


def sharing(table: str, *fields: str) -> Change:
    """Give the second row the first one's values."""
    return lambda clinic: clinic[table][1].update({field: clinic[table][0][field] for field in fields})


def package(payer_id: str) -> dict[str, Any]:
    """Return what a payer is called in athenahealth."""
    return {"payer_id": payer_id, "insurance_package_id": "318"}


BROKEN: list[tuple[str, Change, str, str]] = [
    # What is wrong, the change, the table whose second row is named (or another place), and the reason.
    ("unknown table", lambda c: c.update(people=[]), "file", "people is not a known key"),
    ("no as_of", lambda c: c.pop("as_of"), "file", "as_of is missing"),
    ("no practice", lambda c: c.pop("practice"), "file", "practice is missing"),
    ("naive as_of", lambda c: c.update(as_of="2027-02-25T02:30:00"), "as_of", "timezone"),
    ("practice zone", lambda c: c["practice"].update(timezone="Utah"), "practice", "timezone: is not a time zone"),
    ("grid", lambda c: c["practice"]["settings"].update(grid_minutes=7), "practice", "settings.grid_minutes"),
    ("limits", lambda c: c["practice"].update(ehr_limits={"epic": {"per_minute": 1}}), "practice", "ehr_limits.epic"),
    ("default service", lambda c: c["practice"]["default_services"][2].update(service_id=NOBODY), "practice",
     "default_services.2.service_id: no such row"),
    ("no list", lambda c: c.update(rooms={}), "rooms", "valid array"),
    ("no row", lambda c: c["rooms"].insert(1, SECRET), "rooms[1]", "should be an object"),
    ("unknown key", setting("patients", nickname=SECRET), "patients", "nickname: is not a known key"),
    ("missing key", without("patients", "phone"), "patients", "phone: is missing"),
    ("no UUID", setting("patients", id=SECRET), "patients[1]", "id: is not a UUID"),
    ("text for a flag", setting("organizations", active="yes"), "organizations", "active: "),
    ("number for text", setting("patients", intakeq_client_id=7001), "patients", "intakeq_client_id: "),
    ("zero byte", setting("patients", last_name="\0"), "patients", "last_name: "),
    ("half a character", setting("patients", last_name="\ud800"), "patients", "invalid JSON"),
    ("seconds for a day", setting("patients", date_of_birth="0"), "patients", "date_of_birth: is not a day"),
    ("no such day", setting("patients", date_of_birth="1990-02-30"), "patients", "date_of_birth: "),
    ("patient zone", setting("patients", timezone="Mars/Olympus"), "patients", "timezone: is not a time zone"),
    ("enum", setting("payers", type="medicare"), "payers", "type: "),
    ("status code", setting("payers", status_code="great"), "payers", "status_code: "),
    ("visit status", setting("appointments", status="done"), "appointments", "status: "),
    ("system", setting("service_instance_integrations", system="epic"), "service_instance_integrations", "system: "),
    ("naive start", setting("appointments", start="2027-05-01T10:00:00"), "appointments", "start: "),
    ("visit order", setting("appointments", end="2027-01-01T10:00:00Z"), "appointments", "end is not after start"),
    ("empty visit", sharing("appointments", "end"), "appointments", ""),
    ("time off order", setting("provider_time_off", end="2027-01-01T10:00:00Z"), "provider_time_off",
     "end is not after start"),
    ("contract dates", setting("provider_payer_networks", end_date="2020-01-01"), "provider_payer_networks",
     "end_date is not after effective_date"),
    ("supervision dates", setting("supervision_relationships", end_date="2020-01-01"), "supervision_relationships",
     "end_date is not after effective_date"),
    ("own attending", lambda c: c["supervision_relationships"][1].update(
        attending_id=c["supervision_relationships"][1]["resident_id"]), "supervision_relationships",
     "attending_id is the resident"),
    ("weekday", setting("provider_hours", weekday=7), "provider_hours", "weekday: "),
    ("wall clock", setting("provider_hours", start="9:00"), "provider_hours", "start: "),
    ("late end", setting("provider_hours", end="24:30"), "provider_hours", "end: "),
    ("no hours", setting("provider_hours", end="13:00", start="13:00"), "provider_hours", "end equals start"),
    ("hours valid", setting("provider_hours", valid_from="2027-02-01", valid_to="2027-01-01"), "provider_hours",
     "valid_to is not after valid_from"),
    ("negative buffer", setting("services", buffer_after_minutes=-5), "services", "buffer_after_minutes: "),
    ("no duration", setting("services", duration_minutes=0), "services", "duration_minutes: "),
    ("fraction of a minute", setting("services", duration_minutes=30.5), "services", "duration_minutes: "),
    ("money", setting("services", base_rate="12.345"), "services", "base_rate: "),
    ("reason without date", setting("service_instances", retired_reason="old"), "service_instances", "need each other"),
    ("reference", setting("appointments", patient_id=NOBODY), "appointments", f"patient_id: {NOBODY} is not in patients"),
    ("nullable reference", setting("appointments", payer_id=NOBODY), "appointments", "is not in payers"),
    ("package of nobody", lambda c: c.update(payer_athena_settings=[package(NOBODY)]),
     f"payer_athena_settings[0] (id {NOBODY})", f"payer_id: {NOBODY} is not in payers"),
    ("two packages", lambda c: c.update(payer_athena_settings=[package(c["payers"][0]["id"])] * 2),
     "payer_athena_settings[1]", "payer_id: the same as in payer_athena_settings[0]"),
    ("package number", lambda c: c.update(payer_athena_settings=[package(c["payers"][0]["id"]) | {
        "insurance_package_id": 318}]), "payer_athena_settings[0]", "insurance_package_id: "),
    ("same id", twice("organizations"), "organizations[4]", "id: the same as in organizations[0]"),
    ("same external id", sharing("appointments", "external_id"), "appointments",
     "system and external_id: the same as in appointments[0]"),
    ("same client", lambda c: c["patients"][2].update(intakeq_client_id="7000"), "patients[2]",
     "intakeq_client_id: the same as in patients[0]"),
    ("same mapping", lambda c: c["service_instance_integrations"].append(
        c["service_instance_integrations"][0] | {"id": NOBODY, "system": "practiceq"}), "service_instance_integrations[6]",
     "service_instance_id and system: the same as in service_instance_integrations[0]"),
    ("same practitioner", sharing("provider_intakeq_settings", "practitioner_id"), "provider_intakeq_settings",
     "practitioner_id: the same"),
    ("same login", sharing("partner_users", "email"), "partner_users", "email: the same as in partner_users[0]"),
    ("completed too early", setting("appointments", status="completed"), "appointments", "ends after as_of"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shared_engine(postgres: Server) -> Iterator[sa.Engine]:
    """Yield one database for the whole table of cases: none of them may leave anything in it."""
    name = f"test_{uuid4().hex}"
    owner = sa.create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.exec_driver_sql(f"create database {name} template template_moonlit")
    engine = connect(postgres.url(name))
    yield engine
    engine.dispose()
    owner.dispose()


@pytest.fixture
def connection(shared_engine: sa.Engine) -> Iterator[sa.Connection]:
    with shared_engine.connect() as connection:
        yield connection


def filled_tables(connection: sa.Connection) -> list[str]:
    every = [sa.exists(sa.select(table)).label(table.name) for table in tables.metadata.sorted_tables]
    return [name for name, is_filled in connection.execute(sa.select(*every)).mappings().one().items() if is_filled]


@pytest.mark.parametrize(
    ("change", "place", "reason"), [case[1:] for case in BROKEN], ids=[case[0].replace(" ", "-") for case in BROKEN]
)
def test_a_broken_file_is_refused_with_row_and_reason(
    connection: sa.Connection, change: Change, place: str, reason: str
) -> None:
    clinic = demo_data.clinic()
    change(clinic)

    with pytest.raises(ClinicRefused) as refused:
        load(connection, clinic)

    line = str(refused.value.problems[0])
    assert line.startswith(place)
    assert reason in line
    if place in clinic and reason and "[" not in place and isinstance(clinic[place], list) and "JSON" not in reason:
        assert line.startswith(f"{place}[1] (id ")
    assert SECRET not in str(refused.value)
    assert filled_tables(connection) == []


def test_all_problems_are_told_at_once_up_to_twenty(connection: sa.Connection) -> None:
    clinic = demo_data.clinic()
    for row in clinic["patients"]:
        row["timezone"] = "Nowhere"

    with pytest.raises(ClinicRefused) as refused:
        load(connection, clinic)

    assert [problem.index for problem in refused.value.problems] == list(range(20))
    assert refused.value.total == 40
    assert str(refused.value).endswith("(and 20 more)")


def test_a_refusal_leaves_the_transaction_usable(connection: sa.Connection) -> None:
    with pytest.raises(ClinicRefused):
        load(connection, demo_data.clinic() | {"people": []})
    load(connection, demo_data.clinic())
    assert "patients" in filled_tables(connection)
