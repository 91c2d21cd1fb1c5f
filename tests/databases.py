"""Empty databases for tests: a clone of the migrated template costs half a second, emptying one that was used far less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import sqlalchemy as sa

from local.postgres import Server

TEMPLATE = "template_moonlit"

# Where anything that a test did to the schema, to rights or to the planner's statistics leaves rows. Versions of rows
# only count up, so whatever was added, changed or removed shows in the latest version or in the number of rows.
_CATALOGS = (
    *("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_trigger", "pg_policy", "pg_rewrite"),
    *("pg_type", "pg_proc", "pg_namespace", "pg_depend", "pg_description", "pg_default_acl", "pg_event_trigger"),
    *("pg_extension", "pg_operator", "pg_inherits", "pg_sequence", "pg_statistic", "pg_statistic_ext"),
    *("pg_largeobject_metadata", "pg_db_role_setting"),
)
_SCHEMA = " union all ".join(
    f"select '{table}', count(*), coalesce(max(xmin::text::bigint), 0) from {table}"
    for table in (*_CATALOGS, "alembic_version")
)

# Triggers and foreign keys rest meanwhile. Small tables are emptied row by row, which makes no files; a large one gets
# new files, so that the planner sees an empty table again.
_EMPTY = """
    do $$
    declare
        name regclass;
    begin
        set local session_replication_role = replica;
        for name in select oid from pg_class
            where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'alembic_version'
        loop
            if pg_relation_size(name) > 65536 then
                execute format('truncate %s cascade', name);
            elsif pg_relation_size(name) > 0 then
                execute format('delete from %s', name);
            end if;
        end loop;
    end $$
"""

_SESSIONS = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{}'"


@dataclass
class Databases:
    """Databases that nobody uses now are kept, each with the state of its schema, and given out again.

    One whose schema a test changed is not given out a second time.
    """

    server: Server
    owner: sa.Connection
    _spare: list[tuple[str, object]] = field(default_factory=list)
    _lent: dict[str, object] = field(default_factory=dict)

    def take(self) -> str:
        """Return the name of a migrated, empty database."""
        name, schema = self._spare.pop() if self._spare else self._clone()
        self._lent[name] = schema
        return name

    def give_back(self, name: str) -> None:
        """Take a database back; whoever still has a session there loses it, and nobody finds it by that name again."""
        before, again = self._lent.pop(name), _fresh_name()
        self._execute(_SESSIONS.format(name))
        self._execute(f"alter database {name} rename to {again}")
        with self._session(again) as session:
            is_as_before = _schema(session) == before
            if is_as_before:
                session.exec_driver_sql(_EMPTY)
                self._spare.append((again, _schema(session)))
        if not is_as_before:
            self._execute(f"drop database {again} with (force)")

    def _clone(self) -> tuple[str, object]:
        name = _fresh_name()
        self._execute(f"create database {name} template {TEMPLATE} strategy file_copy")
        with self._session(name) as session:
            return name, _schema(session)

    @contextmanager
    def _session(self, name: str) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.server.url(name), poolclass=sa.NullPool, connect_args={"ssl_context": False})
        with engine.begin() as connection:
            yield connection

    def _execute(self, statement: str) -> None:
        self.owner.exec_driver_sql(statement)


def _fresh_name() -> str:
    return f"test_{uuid4().hex}"


def _schema(session: sa.Connection) -> object:
    return session.exec_driver_sql(_SCHEMA).all()
