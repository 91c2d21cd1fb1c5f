"""What the catalog keeps under an id and changes as a whole: services, locations, rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.audit.changes import difference
from moonlit.audit.store import Actor, Audit
from moonlit.catalog.changing import one_at_a_time
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.paging import by_name
from moonlit.errors import NotFound
from moonlit.web.etags import expect
from moonlit.web.models import Model


class Kept(Model):
    """Something of the catalog under its id."""

    id: UUID


@dataclass(frozen=True, slots=True)
class Kind[Wanted: Model, Shown: Kept]:
    """What is kept: the table and how it is called there, how a row is shown, and what stands against a change.

    Attributes:
        entity: Its name in the audit log.
        name: The column that a list is ordered by.
        check: Is given the connection, what is wanted, what stands (None for something new) and the current instant;
            raises what stands against it.
        row: The columns that are not simply the members of what is wanted.
    """

    entity: str
    table: sa.Table
    name: sa.Column[Any]
    shown: type[Shown]
    check: Callable[[sa.Connection, Wanted, Shown | None, datetime], None] = lambda *_: None
    row: Callable[[Wanted], dict[str, Any]] = lambda _: {}


@dataclass(frozen=True, slots=True)
class Shelf[Wanted: Model, Shown: Kept]:
    """All of one kind."""

    kind: Kind[Wanted, Shown]
    begin: Begin
    clock: Clock

    def page(self, *wanted: sa.ColumnElement[bool], limit: int, after: str | None) -> tuple[list[Shown], str | None]:
        """Return a page of those that meet all conditions, by name, and the cursor of the next one.

        Raises:
            RequestValidationError: `after` is no cursor of this list.
        """
        table = self.kind.table
        with self.begin() as connection:
            query = sa.select(table).where(*wanted)
            page = by_name(connection, query, self.kind.name, table.c.id, limit=limit, after=after)
        return [self._shown(row) for row in page.rows], page.next_cursor

    def show(self, key: UUID) -> Shown:
        """Return one.

        Raises:
            NotFound: There is none with this id.
        """
        with self.begin() as connection:
            return self._one(connection, key)

    def add(self, wanted: Wanted, actor: Actor) -> Shown:
        """Keep something new.

        Raises:
            CatalogRefused: Something stands against it.
            RequestValidationError: It refers to something that is not there.
        """

        def work(connection: sa.Connection) -> Shown:
            key, now = uuid4(), self.clock.now()
            self.kind.check(connection, wanted, None, now)
            connection.execute(sa.insert(self.kind.table).values(id=key, **self._row(wanted)))
            added = self._one(connection, key)
            after = added.model_dump(mode="json", by_alias=True, exclude={"id"})
            Audit(connection, actor, now).changed("create", self.kind.entity, key, after=after)
            return added

        return one_at_a_time(self.begin, work)

    def replace(self, key: UUID, wanted: Wanted, if_match: str | None, actor: Actor) -> Shown:
        """Let it be as wanted, all of it; what is so already leaves no trace.

        Raises:
            NotFound: There is none with this id.
            StaleEtag: The change was made from another state.
            CatalogRefused: Something stands against it.
            RequestValidationError: It refers to something that is not there.
        """

        def work(connection: sa.Connection) -> Shown:
            now, before = self.clock.now(), self._one(connection, key, lock=True)
            expect(if_match, before)
            self.kind.check(connection, wanted, before, now)
            table = self.kind.table
            connection.execute(sa.update(table).where(table.c.id == key).values(self._row(wanted)))
            after = self._one(connection, key)
            if after != before:
                old, new = difference(before, after)
                Audit(connection, actor, now).changed("update", self.kind.entity, key, before=old, after=new)
            return after

        return one_at_a_time(self.begin, work)

    def _one(self, connection: sa.Connection, key: UUID, *, lock: bool = False) -> Shown:
        query = sa.select(self.kind.table).where(self.kind.table.c.id == key)
        row = connection.execute(query.with_for_update() if lock else query).mappings().first()
        if row is None:
            raise NotFound(f"{self.kind.entity} {key}")
        return self._shown(row)

    def _shown(self, row: sa.RowMapping) -> Shown:
        return self.kind.shown(**row)

    def _row(self, wanted: Wanted) -> dict[str, Any]:
        return wanted.model_dump(by_alias=False) | self.kind.row(wanted)
