"""The database keeps its promises by constraints, roles and policies: each is named here.

`alembic check` compares columns, keys and indexes. It does not see a dropped check or exclusion constraint, nor roles.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import DBAPIError

from moonlit.db import tables as t
from moonlit.db.engine import violated_constraint
from tests.conftest import function_module

CHECKS = """
appointments: modality order status system
ehr_accounts: system
ehr_appointments: status
ehr_writes: kind state
leads: status
match_reviews: state
patient_organization_affiliations: roi_consent status
payers: status_code type
practice_settings: one_row
provider_hours: end modality start valid weekday
provider_payer_networks: dates status
provider_time_off: order
providers: ehr_system
public_uses: kind
partner_users: role
schedule_conflicts: state
service_instance_integrations: system
service_instances: retired
services: buffers duration kind modality
staff_users: role
supervision_relationships: dates level two_people
sync_logs: status sync_type
sync_patient_results: status
sync_runs: phase state
time_claims: one_owner resource_kind span
webhook_events: state
"""
UNIQUE_WHERE = {
    "uq_appointment_external_ids_current",
    "uq_ehr_writes_open",
    "uq_service_instances_live",
    "uq_sync_logs_run_organization",
    "uq_sync_runs_pulling",
}
NOON = datetime(2027, 3, 10, 19, tzinfo=UTC)


def test_models_and_migrations_agree(engine: sa.Engine) -> None:
    config = function_module("migrate").configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)


def named(engine: sa.Engine, kind: str) -> set[tuple[str, str]]:
    with engine.begin() as connection:
        rows = connection.execute(
            sa.text(
                "select conrelid::regclass::text, conname from pg_constraint"
                " where contype = :kind and connamespace = 'public'::regnamespace and conrelid <> 0"
            ),
            {"kind": kind},
        )
        return {(table, name) for table, name in rows if table != "alembic_version"}


def test_every_check_constraint_is_known(engine: sa.Engine) -> None:
    lines = [line.split(": ") for line in CHECKS.strip().splitlines()]
    known = {(table, f"ck_{table}_{name}") for table, names in lines for name in names.split()}
    assert named(engine, "c") == known


def test_every_exclusion_constraint_and_partial_unique_index_is_known(engine: sa.Engine) -> None:
    assert named(engine, "x") == {("time_claims", "ex_time_claims_no_overlap")}
    with engine.begin() as connection:
        rows = connection.execute(
            sa.text(
                "select indexrelid::regclass::text from pg_index join pg_class c on c.oid = indrelid"
                " where indisunique and indpred is not null and relnamespace = 'public'::regnamespace"
            )
        )
        assert set(rows.scalars()) == UNIQUE_WHERE


def test_every_foreign_key_unique_and_primary_key_is_of_the_models(engine: sa.Engine) -> None:
    wanted: dict[type[sa.Constraint], set[str]] = {}
    for table in t.metadata.tables.values():
        for constraint in table.constraints:
            wanted.setdefault(type(constraint), set()).add(str(constraint.name))
    assert {name for _, name in named(engine, "f")} == wanted[sa.ForeignKeyConstraint]
    assert {name for _, name in named(engine, "u")} == wanted[sa.UniqueConstraint]
    assert {name for _, name in named(engine, "p")} == wanted[sa.PrimaryKeyConstraint]


def test_the_roles_are_known_and_own_nothing(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        roles = connection.execute(
            sa.text("select rolname, rolsuper, rolcreaterole, rolbypassrls, rolconfig from pg_roles where rolname ~ '^moonlit_'"
                    " and rolname <> current_user")
        ).all()  # fmt: skip
        assert [tuple(role) for role in roles] == [
            (
                "moonlit_app",
                False,
                False,
                False,
                ["statement_timeout=25s", "lock_timeout=8s", "idle_in_transaction_session_timeout=30s"],
            )
        ]
        owned = connection.execute(sa.text("select count(*) from pg_class where relowner = 'moonlit_app'::regrole"))
        assert owned.scalar_one() == 0


def test_there_are_no_row_policies_yet_and_the_type_behind_the_constraint_stands(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        assert connection.execute(sa.text("select policyname from pg_policies")).all() == []
        assert connection.execute(sa.text("select rngsubtype::regtype::text from pg_range where rngtypid = 'uuid_span'::regtype")).scalar_one() == "uuid"  # fmt: skip


def test_the_functions_login_may_read_and_write_rows_and_change_no_table(app_url: str) -> None:
    engine = sa.create_engine(app_url)
    try:
        with engine.begin() as connection:
            connection.execute(sa.insert(t.organizations).values(id=uuid4(), name="Harbor"))
            connection.execute(sa.delete(t.organizations))
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(sa.text("drop table organizations"))
    finally:
        engine.dispose()


def claim(resource: UUID, start: datetime, hold: UUID, **values: object) -> dict[str, object]:
    span = Range(start, start + timedelta(hours=1))
    return {"id": uuid4(), "resource_kind": "person", "resource_id": resource, "span": span, "hold_id": hold} | values


@pytest.fixture
def hold(engine: sa.Engine) -> UUID:
    """A hold to own claims; what it is of does not matter here."""
    ids = {name: uuid4() for name in ("provider", "payer", "service", "hold")}
    with engine.begin() as connection:
        connection.execute(
            sa.insert(t.providers).values(id=ids["provider"], name="P", ehr_system="intakeq", timezone="UTC")
        )
        connection.execute(sa.insert(t.payers).values(id=ids["payer"], name="P", type="private"))
        connection.execute(
            sa.insert(t.services).values(
                id=ids["service"], name="S", kind="intake", duration_minutes=60, modality="telehealth"
            )
        )
        connection.execute(
            sa.insert(t.appointment_holds).values(
                id=ids["hold"], provider_id=ids["provider"], payer_id=ids["payer"], service_id=ids["service"],
                start=NOON, end=NOON, expires_at=NOON, created_at=NOON,
            )
        )  # fmt: skip
    return ids["hold"]


def test_the_database_refuses_to_give_one_persons_time_twice(engine: sa.Engine, hold: UUID) -> None:
    person, other = uuid4(), uuid4()
    with engine.begin() as connection:
        connection.execute(sa.insert(t.time_claims), [claim(person, NOON, hold), claim(other, NOON, hold)])
        connection.execute(sa.insert(t.time_claims).values(**claim(person, NOON + timedelta(hours=1), hold)))
        # What comes from the EHR is taken as it is.
        connection.execute(sa.insert(t.time_claims).values(**claim(person, NOON, hold, enforced=False)))
    with pytest.raises(DBAPIError) as refused, engine.begin() as connection:
        connection.execute(sa.insert(t.time_claims).values(**claim(person, NOON + timedelta(minutes=59), hold)))
    assert violated_constraint(refused.value) == "ex_time_claims_no_overlap"
