"""The databases that tests borrow are as good as new each time."""

from __future__ import annotations

from uuid import uuid4

import pg8000.dbapi
import pytest
import sqlalchemy as sa

from local.postgres import OWNER
from moonlit.db import tables as t
from tests.databases import TEMPLATE, Databases

DATABASES = "select datname from pg_database where datname like 'test\\_%%'"


@pytest.fixture
def lending(databases: Databases) -> Databases:
    """Return a lender whose pool no other test knows; what it lends last is left in that pool."""
    return Databases(databases.server, databases.owner)


def engine(lending: Databases, name: str) -> sa.Engine:
    return sa.create_engine(lending.server.url(name), poolclass=sa.NullPool)


def contents(lending: Databases, name: str) -> dict[str, int]:
    """Return how many rows each table has that has any."""
    with engine(lending, name).connect() as connection:
        tables = connection.exec_driver_sql("select tablename from pg_tables where schemaname = 'public'").scalars()
        rows = {each: connection.exec_driver_sql(f"select count(*) from {each}").scalar_one() for each in tables}
    return {name: count for name, count in rows.items() if count}


def known(lending: Databases) -> set[str]:
    return set(lending.owner.exec_driver_sql(DATABASES).scalars())


def dropped(lending: Databases, name: str) -> None:
    lending.owner.exec_driver_sql(f"drop database {name} with (force)")


def test_a_database_comes_back_empty_under_another_name(lending: Databases) -> None:
    first, before = lending.take(), known(lending)
    organization = {"name": "House", "active": True}
    with engine(lending, first).begin() as connection:
        for number in range(1000):
            connection.execute(sa.insert(t.organizations).values(id=uuid4(), **organization))
            if number == 0:
                connection.execute(sa.insert(t.webhook_events).values(
                    id=uuid4(), source="intakeq", content_hash="h", body=b"", state="ignored",
                    received_at=sa.func.now()))  # fmt: skip
    lending.give_back(first)
    second = lending.take()
    assert second != first
    assert known(lending) - before == {second}
    assert contents(lending, second) == contents(lending, TEMPLATE) == {"alembic_version": 1}
    dropped(lending, second)


@pytest.mark.parametrize(
    "change",
    [
        "alter table appointments add constraint refuse check (false) not valid",
        "drop index ix_audit_log_at",
        "create function refuse() returns integer language sql as 'select 1'",
        "grant select on patients to moonlit_app with grant option",
        "create schema elsewhere",
        "analyze organizations",
        "update alembic_version set version_num = 'another'",
        "comment on table patients is 'people'",
        "alter table patients disable trigger all",
    ],
)
def test_a_database_whose_schema_was_changed_is_not_lent_again(lending: Databases, change: str) -> None:
    name = lending.take()
    with engine(lending, name).begin() as connection:
        connection.execute(sa.insert(t.organizations).values(id=uuid4(), name="House", active=True))
        connection.exec_driver_sql(change)
    before = known(lending)
    lending.give_back(name)
    assert known(lending) == before - {name}


def test_what_was_rolled_back_does_no_harm(lending: Databases) -> None:
    name = lending.take()
    before = known(lending)
    with engine(lending, name).connect() as connection:
        connection.exec_driver_sql("drop table webhook_events")
        connection.rollback()
    lending.give_back(name)
    assert len(known(lending)) == len(before)
    dropped(lending, lending.take())


def test_a_session_left_behind_is_ended_and_does_not_find_the_database_again(lending: Databases) -> None:
    name = lending.take()
    server = lending.server
    left = pg8000.dbapi.connect(OWNER, database=name, host="127.0.0.1", port=server.port, password=server.password)
    in_database = f"select count(*) from pg_stat_activity where datname = '{name}'"
    assert lending.owner.exec_driver_sql(in_database).scalar_one() == 1
    lending.give_back(name)
    with left._usock, left._sock:  # It would say goodbye to nobody.
        assert left._usock.recv(1) == b"E"  # The server has told why it ended.
    assert name not in known(lending)
    dropped(lending, lending.take())
