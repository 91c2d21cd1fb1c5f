from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from local import demo_data
from local.clinic import ClinicRefused, export, load
from local.demo_data.ids import AS_OF, uid
from moonlit.db import tables

_LOADED_ONLY = {"retired_at", "retired_reason", "status"}


@contextmanager
def counted_statements(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect every statement that reaches the database."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", note)


def load_and_export(engine: sa.Engine, content: dict[str, Any]) -> dict[str, Any]:
    """Load into the database once it is emptied, and export it again."""
    with engine.begin() as connection:
        names = ", ".join(table.name for table in tables.metadata.sorted_tables)
        connection.exec_driver_sql(f"truncate {names}")
        load(connection, content)
    with engine.begin() as connection:
        return export(connection, AS_OF)


def count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def normalized(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"system": "intakeq"} if row.get("system") == "practiceq" else row


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        (row["id"],)
        if "id" in row
        else tuple(str(row[field]) for field in ("provider_id", "weekday", "start") if field in row)
    )


def test_an_export_has_everything_of_the_file(engine: sa.Engine) -> None:
    content = demo_data.clinic()

    exported = load_and_export(engine, content)

    assert exported["as_of"] == content["as_of"]
    assert exported["practice"] == content["practice"]
    for table in content.keys() - {"as_of", "practice"}:
        rows = sorted(map(normalized, content[table]), key=key)
        got = sorted(exported[table], key=key)
        assert [{field: there[field] for field in row} for row, there in zip(rows, got, strict=True)] == rows, table


def test_an_export_of_a_loaded_export_is_equal(engine: sa.Engine) -> None:
    first = load_and_export(engine, demo_data.clinic())
    assert load_and_export(engine, first) == first


def test_rows_are_exported_in_the_order_of_their_ids(engine: sa.Engine) -> None:
    exported = load_and_export(engine, demo_data.clinic())
    for rows in (rows for rows in exported.values() if isinstance(rows, list) and rows and "id" in rows[0]):
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


def test_a_completed_visit_is_stored_as_confirmed_and_shown_as_completed(engine: sa.Engine) -> None:
    exported = load_and_export(engine, demo_data.clinic())

    shown = [row["status"] for row in exported["appointments"]]
    with engine.begin() as connection:
        stored = set(connection.execute(sa.select(tables.appointments.c.status)).scalars())

    assert "completed" in shown
    assert stored == {"confirmed"}


def test_orphans_come_in_as_they_are_and_the_surplus_twin_retired(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        report = load(connection, demo_data.clinic())
        instances = tables.service_instances
        retired = connection.execute(
            sa.select(instances.c.id, instances.c.retired_reason).where(instances.c.retired_at.is_not(None))
        ).all()

    assert len(report.ids("orphaned_instances")) == demo_data.expected()["importReport"]["orphans"]
    assert [(str(row.id), row.retired_reason) for row in retired] == [
        (report.ids("duplicate_instances_retired")[0], "duplicate_on_import")
    ]


def test_the_report_names_what_somebody_should_look_at(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        report = load(connection, demo_data.clinic() | {"sync_logs": [{"anything": 1}, {}]})

    assert {oddity.kind for oddity in report.oddities} >= {
        "affiliations_to_inactive_organizations",
        "appointments_on_orphaned_instances",
        "appointments_without_provider",
        "coming_appointments_with_inactive_providers",
        "contracts_of_inactive_providers",
        "instances_of_inactive_services",
        "instances_without_mapping",
        "patients_sharing_an_address",
        "payers_with_stray_blanks",
        "services_of_one_name",
        "services_with_stray_blanks",
    }
    assert report.ignored == {"sync_logs": 2}
    assert "@" not in str(report)


def test_active_visits_claim_the_time_of_the_human_and_the_patient(engine: sa.Engine) -> None:
    content = demo_data.clinic()
    visit = next(row for row in content["appointments"] if row["provider_id"])
    # One human under two ids: both have to claim the same person.
    visit["provider_id"], other = uid("provider", 3), uid("provider", 9)
    with engine.begin() as connection:
        load(connection, content)
        claims = connection.execute(
            sa.select(tables.time_claims).where(tables.time_claims.c.appointment_id == UUID(visit["id"]))
        ).all()
        person = connection.execute(
            sa.select(tables.providers.c.person_id).where(tables.providers.c.id == UUID(other))
        ).scalar_one()

    assert {(claim.resource_kind, claim.resource_id) for claim in claims} == {
        ("person", person),
        ("patient", UUID(visit["patient_id"])),
    }
    assert {claim.enforced for claim in claims} == {False}
    assert {f"{claim.span.lower:%Y-%m-%dT%H:%M:%SZ}" for claim in claims} == {visit["start"]}
    assert {f"{claim.span.upper:%Y-%m-%dT%H:%M:%SZ}" for claim in claims} == {visit["end"]}


@pytest.mark.parametrize("status", ["cancelled", "declined", "no_show", "failed"])
def test_a_visit_that_does_not_take_place_claims_nothing(engine: sa.Engine, status: str) -> None:
    content = demo_data.clinic()
    for visit in content["appointments"]:
        visit["status"] = status
    with engine.begin() as connection:
        load(connection, content)
        assert count(connection, tables.time_claims) == 0


def test_each_ehr_has_one_account_with_its_limits(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        load(connection, demo_data.clinic())
        accounts = tables.ehr_accounts
        rows = connection.execute(sa.select(accounts.c.system, accounts.c.per_minute, accounts.c.per_day)).all()

    assert {tuple(row) for row in rows} == {("intakeq", 60, 500), ("athena", 300, 45_000)}


def test_what_payers_and_providers_are_called_in_athenahealth_comes_back(engine: sa.Engine) -> None:
    content = demo_data.clinic()
    packages = sorted((row["id"] for row in content["payers"]), reverse=True)[:2]
    content["payer_athena_settings"] = [
        {"payer_id": payer_id, "insurance_package_id": str(318 + number)} for number, payer_id in enumerate(packages)
    ]
    exported = load_and_export(engine, content)
    assert exported["payer_athena_settings"] == content["payer_athena_settings"][::-1]
    seats = content["provider_athena_settings"]
    assert seats
    assert exported["provider_athena_settings"] == sorted(seats, key=lambda row: str(row["provider_id"]))
    assert load_and_export(engine, exported) == exported


def test_a_visit_takes_its_service_from_its_instance(engine: sa.Engine) -> None:
    content = demo_data.clinic()
    services = {row["id"]: row["service_id"] for row in content["service_instances"]}
    with engine.begin() as connection:
        load(connection, content)
        rows = connection.execute(sa.select(tables.appointments.c.id, tables.appointments.c.service_id)).all()

    assert {str(row.id): str(row.service_id) for row in rows} == {
        row["id"]: services[row["service_instance_id"]] for row in content["appointments"]
    }


def test_a_database_that_is_not_empty_is_left_alone(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(tables.organizations).values(name="Already here"))
    with (
        engine.begin() as connection,
        pytest.raises(ClinicRefused, match="is not empty: there are rows in organizations"),
    ):
        load(connection, demo_data.clinic())
    with engine.begin() as connection:
        assert count(connection, tables.organizations) == 1
        assert count(connection, tables.patients) == 0


def test_a_database_without_tables_is_named_as_such(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("create schema elsewhere")
        connection.exec_driver_sql("set local search_path to elsewhere")
        with pytest.raises(ClinicRefused, match="has no tables"):
            load(connection, demo_data.clinic())


def test_an_empty_database_has_nothing_to_export(engine: sa.Engine) -> None:
    with engine.begin() as connection, pytest.raises(ClinicRefused, match="holds no practice"):
        export(connection, AS_OF)


def test_ten_thousand_patients_take_no_more_statements_than_forty(engine: sa.Engine) -> None:
    content = demo_data.clinic()
    pattern = {**content["patients"][0], "intakeq_client_id": None}
    content["patients"] += [{**pattern, "id": uid("extra", number)} for number in range(9_960)]

    with counted_statements(engine) as statements, engine.begin() as connection:
        report = load(connection, content)
        assert count(connection, tables.patients) == report.loaded["patients"] == 10_000

    assert len(statements) < 40


def test_sync_logs_are_exported_in_order(engine: sa.Engine) -> None:
    load_and_export(engine, demo_data.clinic())
    organization = uid("organization", 0)
    with engine.begin() as connection:
        for day in (26, 25):
            at = f"2027-02-{day}T10:00:00Z"
            connection.execute(
                sa.insert(tables.sync_logs).values(
                    organization_id=organization, sync_type="automated_daily", status="completed", new=day, updated=2,
                    unchanged=3, errors=0, requests_used=4, started_at=at, touched_at=at,
                    completed_at=at,
                )
            )  # fmt: skip
        logs = export(connection, AS_OF)["sync_logs"]

    assert [log["counts"]["new"] for log in logs] == [25, 26]
    assert logs[0] == {
        "organization_id": organization, "sync_type": "automated_daily", "status": "completed", "requests_used": 4,
        "started_at": "2027-02-25T10:00:00Z", "completed_at": "2027-02-25T10:00:00Z",
        "counts": {"new": 25, "updated": 2, "unchanged": 3, "errors": 0},
    }  # fmt: skip


def test_only_the_current_external_id_is_exported(engine: sa.Engine) -> None:
    before = load_and_export(engine, demo_data.clinic())
    external = tables.appointment_external_ids
    with engine.begin() as connection:
        account_id, appointment_id = connection.execute(
            sa.select(external.c.account_id, external.c.appointment_id).limit(1)
        ).one()
        connection.execute(
            sa.insert(external).values(
                account_id=account_id, external_id="an earlier one", appointment_id=appointment_id, is_current=False
            )
        )
        assert export(connection, AS_OF) == before
