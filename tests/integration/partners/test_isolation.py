"""No partner sees another's patient: every route, view and feed is tried with foreign ids, by both roles.

Once as the application is, and once with its own filters removed, so that the database's policies stand alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.db import tables as t
from moonlit.db.engine import Begin, beginner, connect
from moonlit.partners import calendar_tokens, progress, store
from moonlit.partners.session import seen_by
from moonlit.sync.activity import note_activity
from moonlit.sync.logs import Counts
from tests.fixtures_functions import partner_login
from tests.fixtures_intakeq import NOON
from tests.fixtures_partners import ADMIN, HOUSE, MANAGER, OTHER_ADMIN, OTHER_HOUSE, TODAY, Houses

ROUTES = ("patient", "sync_patient", "sync_history", "sync_all_patients", "sync_progress")


@pytest.fixture(params=["as it is", "without its filters"])
def guard(request: pytest.FixtureRequest, houses: Houses, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave the application as it is, or take every filter of its own away."""
    if request.param == "without its filters":
        for module in (store, progress):
            for name, statement in list(vars(module).items()):
                if isinstance(statement, sa.TextClause):
                    bare = re.sub(r"(\w+\.)?(organization_)?id = :organization_id", "true", statement.text)
                    assert bare != statement.text, f"{name} has no filter of its own"
                    monkeypatch.setattr(module, name, sa.text(bare).bindparams(*_binds(statement, bare)))
    return str(request.param)


def _binds(statement: sa.TextClause, bare: str) -> list[sa.BindParameter[Any]]:
    return [sa.bindparam(name, type_=bind.type) for name, bind in statement._bindparams.items() if f":{name}" in bare]


@pytest.fixture
def marked(houses: Houses) -> Houses:
    """Give every foreign row a mark that any answer would show, and both houses a refresh with results."""
    for patient_id in (houses.theirs, houses.left):
        houses.functions.execute("update patients set last_name = 'Foreignson', first_name = 'Foreigna' where id = :p",
                                 p=patient_id)  # fmt: skip
        houses.functions.execute(
            'update appointments set location_info = \'{"name": "Foreignplace", "kind": "office"}\' where patient_id = :p',
            p=patient_id,
        )
        with houses.functions.begin() as connection:
            note_activity(connection, {str(patient_id): Counts(new=7)}, "partner:foreign", {}, NOON)
    for patient_id in (houses.dana, houses.expired, houses.silent):
        with houses.functions.begin() as connection:
            note_activity(connection, {str(patient_id): Counts(new=1)}, "automated_daily", {}, NOON)
    houses.in_ehr(1, 26)
    houses.functions.execute("update organizations set name = 'Foreignhouse' where id = :o", o=OTHER_HOUSE)
    houses.functions.execute("update partner_users set name = 'Foreignuser' where organization_id = :o", o=OTHER_HOUSE)
    return houses


def foreign_marks(houses: Houses, their_sync: str) -> set[str]:
    """Return what no answer to the first house may contain."""
    ids = houses.functions.rows(
        "select id::text from appointments where patient_id in (:a, :b)"
        " union all select id::text from partner_users where organization_id = :o",
        a=houses.theirs, b=houses.left, o=OTHER_HOUSE,
    )  # fmt: skip
    people = {str(houses.theirs), str(houses.left), their_sync, str(OTHER_HOUSE)}
    return people | {row["id"] for row in ids} | {"Foreign", "F.F."}


def attempts(houses: Houses, their_sync: str) -> Iterator[tuple[str, UUID | str | None, dict[str, str]]]:
    """Yield every route with every foreign id that somebody might try."""
    tried = [houses.theirs, houses.left, OTHER_HOUSE, UUID(their_sync), houses.users[OTHER_ADMIN], uuid4()]
    for route in ROUTES:
        for foreign in tried:
            yield route, foreign, {}
    for query in ({}, {"q": "Foreign"}, {"q": "foreigna f"}, {"limit": "200"}, {"cursor": str(houses.theirs)},
                  {"cursor": str(houses.left)}):  # fmt: skip
        yield "roster", None, query


@pytest.mark.parametrize("sub", [ADMIN, MANAGER])
def test_no_route_shows_a_foreign_row(marked: Houses, guard: str, sub: str) -> None:
    houses = marked
    their_sync = str(houses.ask("sync_all_patients", OTHER_ADMIN, about=OTHER_HOUSE)[1]["syncId"])
    marks = foreign_marks(houses, their_sync)
    shown = houses.ask("roster", OTHER_ADMIN)[1]
    assert "Foreign" in json.dumps(shown), "the marks would show if anything did"
    answers = 0
    for route, foreign, query in attempts(houses, their_sync):
        status, said = houses.ask(route, sub, about=foreign, **query)
        told = json.dumps(said)
        asked_for = {str(foreign)}  # Which a refusal's own detail repeats.
        assert not {mark for mark in marks - asked_for if mark in told}, (route, foreign, query, said)
        assert status in {200, 202, 404, 409, 422}
        if status == 200:
            assert str(foreign) not in told, (route, foreign)
        answers += 1
    assert houses.functions.rows("select 1 from organization_refreshes where requested_by <> :them",
                                 them=f"partner:{houses.users[OTHER_ADMIN]}") == []  # fmt: skip
    assert answers == len(ROUTES) * 6 + 6
    if guard == "as it is":
        refused = [row for row in houses.audit("refused") if row["actor_id"] == houses.users[sub]]
        assert len(refused) == len(ROUTES) * 6 + 2, "each attempt leaves a line"


@pytest.mark.parametrize("sub", [ADMIN, MANAGER])
def test_feed_shows_no_foreign_row_and_a_foreign_token_opens_its_own_house_alone(
    marked: Houses, guard: str, sub: str
) -> None:
    houses = marked
    ours = houses.ask("issue_calendar_token", sub)[1]["token"]
    theirs = houses.ask("issue_calendar_token", OTHER_ADMIN)[1]["token"]
    status, text = houses.feed(ours)
    assert (status, "F.F." in text, "D.W." in text) == (200, False, True)
    status, text = houses.feed(theirs)
    assert (status, "F.F." in text, "D.W." in text) == (200, True, False)
    houses.ask("revoke_calendar_token", sub)
    assert houses.feed(theirs)[0] == 200, "nobody revokes another's"


# ── The database by itself ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def partner(houses: Houses, database_url: str) -> Iterator[Begin]:
    """Return what opens transactions under the login of partners, all on one connection."""
    engine = connect(partner_login(database_url))
    yield beginner(engine)
    engine.dispose()


READABLE = ("partner_patients", "partner_visits", "patients", "appointments", "appointment_external_ids",
            "patient_organization_affiliations", "patient_activity_log", "sync_logs", "sync_patient_results",
            "organization_refreshes", "organizations", "partner_users", "calendar_tokens")  # fmt: skip


def everything(connection: sa.Connection) -> dict[str, list[Any]]:
    """Return all rows, whole where the login may read them whole, of whatever a partner's login may read."""
    found = {}
    for table in READABLE:
        columns = connection.execute(
            sa.text("select column_name from information_schema.column_privileges where table_name = :t"
                    " and grantee = 'moonlit_partner' and privilege_type = 'SELECT'"), {"t": table}
        ).scalars()  # fmt: skip
        listed = ", ".join(f'"{column}"' for column in columns)
        found[table] = list(connection.execute(sa.text(f"select {listed} from {table}")))
    return found


def test_login_sees_its_house_s_rows_and_nothing_before_a_house_is_set(
    marked: Houses, partner: Begin, engine: sa.Engine
) -> None:
    houses = marked
    for sub, house in ((ADMIN, HOUSE), (OTHER_ADMIN, OTHER_HOUSE)):
        houses.ask("issue_calendar_token", sub)
        houses.ask("sync_all_patients", sub, about=house)
    houses.work()
    with partner() as connection:
        assert {table: rows for table, rows in everything(connection).items() if rows} == {}
    with seen_by(partner, HOUSE, TODAY) as connection:
        ours = everything(connection)
    assert all(ours.values()), {table for table, rows in ours.items() if not rows}
    seen = str(ours)
    assert str(OTHER_HOUSE) not in seen
    for hidden in (houses.theirs, houses.left):
        for table in set(READABLE) - {"patient_organization_affiliations"}:  # That somebody left, their house may know.
            assert str(hidden) not in str(ours[table]), table
    assert str(houses.theirs) not in seen
    visits = str((ours["appointments"], ours["partner_visits"], ours["patient_activity_log"]))
    for hidden in (houses.expired, houses.silent):  # Who they are is told, without consent their visits are not.
        assert str(hidden) in str(ours["patients"])
        assert str(hidden) not in visits
    with engine.begin() as connection:
        assert connection.execute(sa.text("select count(*) from appointments")).scalar_one() > len(ours["appointments"])


def test_next_transaction_of_the_same_connection_sees_nothing_of_the_house_before(
    houses: Houses, partner: Begin
) -> None:
    def pid(connection: sa.Connection) -> int:
        return int(connection.execute(sa.text("select pg_backend_pid()")).scalar_one())

    with seen_by(partner, HOUSE, TODAY) as connection:
        first = pid(connection)
        assert any(everything(connection).values())
    with partner() as connection:
        assert pid(connection) == first
        assert not any(everything(connection).values())
    with pytest.raises(ZeroDivisionError), seen_by(partner, HOUSE, TODAY) as connection:
        raise ZeroDivisionError
    with partner() as connection:
        assert not any(everything(connection).values())
    with seen_by(partner, OTHER_HOUSE, TODAY) as connection:
        assert pid(connection) == first
        assert str(houses.dana) not in str(everything(connection))


def test_consent_ends_in_the_database_too(houses: Houses, partner: Begin) -> None:
    visits = sa.text("select count(*) from appointments where patient_id = :p")
    for day, count in ((TODAY, 1), (TODAY + timedelta(days=1), 0)):
        with seen_by(partner, HOUSE, day) as connection:
            assert connection.execute(visits, {"p": houses.dana}).scalar_one() == count
    houses.functions.execute("update patient_organization_affiliations set roi_consent = 'missing'")
    with seen_by(partner, HOUSE, TODAY) as connection:
        assert connection.execute(visits, {"p": houses.dana}).scalar_one() == 0


HIDDEN = sorted(
    table.name for table in t.metadata.tables.values()
    if table.name not in (*READABLE, "audit_log", "providers", "practice_settings", "sync_runs")
)  # fmt: skip


@pytest.mark.parametrize("table", [*HIDDEN, "audit_log"])
def test_what_is_no_partner_s_to_read_is_refused(partner: Begin, table: str) -> None:
    with pytest.raises(DBAPIError) as refused, seen_by(partner, HOUSE, TODAY) as connection:
        connection.execute(sa.text(f"select count(*) from {table}"))
    assert refused.value.orig is not None
    assert refused.value.orig.args[0]["C"] == "42501"


@pytest.mark.parametrize("column", ["email", "phone", "date_of_birth", "intakeq_client_id"])
def test_how_to_reach_a_patient_is_not_told(partner: Begin, column: str) -> None:
    with pytest.raises(DBAPIError), seen_by(partner, HOUSE, TODAY) as connection:
        connection.execute(sa.text(f"select {column} from patients"))


@pytest.mark.parametrize(
    "statement",
    [
        "update patients set first_name = 'x'",
        "delete from appointments",
        "update patient_organization_affiliations set roi_consent = 'active'",
        "insert into patient_organization_affiliations select * from patient_organization_affiliations",
        "update partner_users set organization_id = gen_random_uuid()",
        "set role moonlit_app",
        "alter table patients disable row level security",
        "set session authorization moonlit_app",
    ],
)
def test_partner_s_login_changes_nothing(partner: Begin, statement: str) -> None:
    with pytest.raises(DBAPIError), seen_by(partner, HOUSE, TODAY) as connection:
        connection.execute(sa.text(statement))


@pytest.mark.parametrize("values", [{"organization_id": OTHER_HOUSE}, {"actor_kind": "staff"}])
def test_partner_s_login_writes_its_own_lines_into_the_audit_log(partner: Begin, values: dict[str, Any]) -> None:
    row = {
        "id": uuid4(),
        "at": NOON,
        "actor_kind": "partner",
        "organization_id": HOUSE,
        "action": "read",
        "entity": "x",
    }
    with seen_by(partner, HOUSE, TODAY) as connection:
        connection.execute(sa.insert(t.audit_log).values(**row))
    with pytest.raises(DBAPIError), seen_by(partner, HOUSE, TODAY) as connection:
        connection.execute(sa.insert(t.audit_log).values(**row | {"id": uuid4()} | values))


def test_login_learns_of_one_token_s_owner_and_of_nobody_else(houses: Houses, partner: Begin) -> None:
    token = houses.ask("issue_calendar_token", OTHER_ADMIN)[1]["token"]
    with partner() as connection:
        found = calendar_tokens.CalendarTokens(connection).owner(token)
        assert found == calendar_tokens.Owner(houses.users[OTHER_ADMIN], OTHER_HOUSE)
        known = connection.execute(sa.text("select * from known_as('s-other-admin')")).mappings().one()
        assert set(known) == {"user_id", "kind", "role", "organization_id", "provider_id", "closed"}
        assert connection.execute(sa.text("select * from known_as('%')")).all() == []
