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
from moonlit.db.engine import sqlstate, violated_constraint
from tests.conftest import function_module
from tests.fixtures_functions import partner_login

CHECKS = """
appointments: modality order status system
audit_log: actor_kind
ehr_accounts: system
ehr_appointments: status
ehr_writes: kind state
insurance_proposals: state
leads: status
match_reviews: state
organizations: sync_days
patient_organization_affiliations: roi_consent status
payers: status_code type
practice_settings: one_row
provider_hours: end modality start valid weekday
provider_payer_networks: dates status
provider_time_off: order
providers: ehr_system
provisioning_actions: action state
provisioning_runs: mode state strategy
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
sync_runs: phase reads state
time_claims: one_owner resource_kind span
webhook_events: state
"""
UNIQUE_WHERE = {
    "uq_audit_log_first_look",
    "uq_appointment_external_ids_current",
    "uq_ehr_writes_open",
    "uq_organization_refreshes_open",
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
                    " and rolname <> current_user order by rolname")
        ).all()  # fmt: skip
        assert [tuple(role) for role in roles] == [
            (
                role,
                False,
                False,
                False,
                ["statement_timeout=25s", "lock_timeout=8s", "idle_in_transaction_session_timeout=30s"],
            )
            for role in ("moonlit_app", "moonlit_partner")
        ]
        owned = connection.execute(
            sa.text(
                "select count(*) from pg_class where relowner in ('moonlit_app'::regrole, 'moonlit_partner'::regrole)"
            )
        )
        assert owned.scalar_one() == 0


# What a partner's login may see a part of; of the other guarded tables it sees no row and has no grant.
SEEN_BY_PARTNERS = {
    "appointment_external_ids", "appointments", "audit_log", "calendar_tokens", "organization_refreshes", "organizations",
    "partner_users", "patient_activity_log", "patient_organization_affiliations", "patients", "sync_logs",
    "sync_patient_results",
}  # fmt: skip
GUARDED = SEEN_BY_PARTNERS | {
    "ehr_appointments", "ehr_writes", "idempotency_keys", "insurance_proposals", "leads", "match_reviews", "outbox",
    "schedule_conflicts", "time_claims", "webhook_events",
}  # fmt: skip
OPEN_TO_PARTNERS = {"ehr_accounts", "practice_settings", "providers", "sync_runs"}


def test_every_table_with_a_trace_of_a_patient_is_guarded_and_every_policy_is_known(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        guarded = connection.execute(sa.text("select relname from pg_class where relrowsecurity")).scalars()
        assert set(guarded) == GUARDED
        policies = connection.execute(
            sa.text("select tablename, policyname, roles::text[], cmd, permissive from pg_policies")
        )
        assert {tuple(map(str, row)) for row in policies} == {
            *((table, "functions", "['moonlit_app']", "ALL", "PERMISSIVE") for table in GUARDED),
            *((table, "partners", "['moonlit_partner']", "ALL", "PERMISSIVE") for table in SEEN_BY_PARTNERS),
        }


def test_every_column_that_names_a_patient_lies_in_a_guarded_table(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        naming = connection.execute(
            sa.text(
                "select distinct c.table_name from information_schema.columns c join information_schema.tables t"
                " using (table_schema, table_name) where c.table_schema = 'public' and t.table_type = 'BASE TABLE'"
                " and c.column_name ~ 'patient_id|appointment_id|client_id|^(first_name|raw|body)$'"
            )
        ).scalars()
        assert set(naming) <= GUARDED


def test_a_partners_login_may_ask_for_little_and_write_less(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        grants = connection.execute(
            sa.text(
                "select table_name, privilege_type from information_schema.column_privileges"
                " where grantee = 'moonlit_partner' and table_schema = 'public'"
            )
        ).all()
    tables = {table for table, kind in grants if kind == "SELECT"}
    assert tables == (SEEN_BY_PARTNERS - {"audit_log"}) | OPEN_TO_PARTNERS - {"ehr_accounts"} | {
        "partner_patients", "partner_visits",
    }  # fmt: skip
    assert {(table, kind) for table, kind in grants if kind != "SELECT"} == {
        ("audit_log", "INSERT"), ("calendar_tokens", "INSERT"), ("calendar_tokens", "UPDATE"),
    }  # fmt: skip


def test_views_stand_under_the_policies_of_who_asks(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        views = connection.execute(
            sa.text(
                "select relname, reloptions::text[] from pg_class where relkind = 'v' and relnamespace = 'public'::regnamespace"
            )
        ).all()
    assert {name: set(options) for name, options in views} == {
        "partner_patients": {"security_invoker=true"}, "partner_visits": {"security_invoker=true"},
    }  # fmt: skip


def test_functions_that_lend_their_owners_rights_are_known(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        found = connection.execute(
            sa.text(
                "select proname, proconfig::text[], proacl::text from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"
            )
        ).all()
    assert {name for name, _, _ in found} == {"calendar_of", "known_as"}
    for _, settings, grants in found:
        assert settings == ["search_path=public, pg_temp"]
        assert not grants.startswith("{=")
        assert ",=" not in grants


def test_the_type_behind_the_constraint_stands(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        assert connection.execute(sa.text("select rngsubtype::regtype::text from pg_range where rngtypid = 'uuid_span'::regtype")).scalar_one() == "uuid"  # fmt: skip


@pytest.mark.parametrize("login", ["moonlit_app", "moonlit_partner"])
def test_the_audit_log_is_added_to_and_never_changed_by_functions(database_url: str, app_url: str, login: str) -> None:
    engine = sa.create_engine(app_url if login == "moonlit_app" else partner_login(database_url))
    house, row = uuid4(), {"id": uuid4(), "at": NOON, "actor_kind": "partner", "action": "x", "entity": "x"}
    setting = sa.text("select set_config('app.organization_id', :house, true)").bindparams(house=str(house))
    changes = (sa.delete(t.audit_log), sa.update(t.audit_log).values(action="y"), sa.text("truncate audit_log"))
    try:
        with engine.begin() as connection:
            connection.execute(setting)
            connection.execute(sa.insert(t.audit_log).values(organization_id=house, **row))
        for statement in changes:
            with pytest.raises(DBAPIError) as refused, engine.begin() as connection:
                connection.execute(statement)
            assert sqlstate(refused.value) == "42501"  # insufficient_privilege
    finally:
        engine.dispose()


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
