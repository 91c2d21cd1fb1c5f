"""Carrying out the steps of a plan, each kind in one statement, however many there are.

A row that the database refuses is found by halving, so that it fails alone: a mapping that cannot be made stops neither
its instance nor the next payer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from moonlit.booking.repointing import repointed
from moonlit.db.engine import sqlstate, violated_constraint
from moonlit.provisioning.rules import DUPLICATE_MERGED, Action, Step, mapping_id

_OF_THE_ROW = ("22", "23", "P0")  # Classes of SQLSTATE that tell of what was to be written, not of the server.
_OVERTAKEN = "overtaken"  # Somebody else has done it, or taken away what it needs.


@dataclass(frozen=True, slots=True)
class Done:
    """A step at its place in the run, and what came of it.

    Attributes:
        kept: What it takes to undo it, where `before` and `after` do not tell.
        error: Why it was not done: a constraint's name, an SQLSTATE, or `overtaken`.
    """

    position: int
    step: Step
    kept: Mapping[str, Any] | None = None
    error: str | None = None


class Writer:
    """Writes instances and mappings within one transaction. It never commits."""

    def __init__(self, connection: sa.Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    def carry_out(self, steps: Sequence[Done]) -> list[Done]:
        """Carry out the steps and return what came of each, in their order."""
        done: list[Done] = []
        for action in _ORDER:
            some = [one for one in steps if one.step.action is action]
            missing = {one.step.instance_id for one in done if one.error and one.step.action is Action.CREATE_INSTANCE}
            lost = [one for one in some if missing & {one.step.instance_id, one.step.merged_into}]
            done += [replace(one, error=_OVERTAKEN) for one in lost]  # What they are about could not be made.
            done += self._each(action, [one for one in some if one not in lost])
        return sorted(done, key=lambda one: one.position)

    def _each(self, action: Action, some: Sequence[Done]) -> list[Done]:
        if not some:
            return []
        try:
            with self._connection.begin_nested():
                kept = self._together(action, some)
        except DBAPIError as error:
            if (sqlstate(error) or "")[:2] not in _OF_THE_ROW:
                raise
            if len(some) == 1:
                return [replace(some[0], error=violated_constraint(error) or sqlstate(error))]
            half = len(some) // 2
            return [*self._each(action, some[:half]), *self._each(action, some[half:])]
        return [
            replace(one, kept=kept[one.position]) if one.position in kept else replace(one, error=_OVERTAKEN)
            for one in some
        ]

    def _together(self, action: Action, some: Iterable[Done]) -> dict[int, Any]:
        """Carry out steps of one kind; return by the positions of those that were what it takes to undo them."""
        rows = [_row(one.position, one.step) for one in some]
        given = {"rows": rows, "now": self._now, "merged": DUPLICATE_MERGED}
        kept: dict[int, Any] = dict(self._connection.execute(_STATEMENTS[action], given).all())
        if action is Action.RETIRE_DUPLICATE and any(row["revives"] for row in rows):
            # Only now, since two twins may not be live at once.
            self._connection.execute(_REVIVE, {"rows": rows})
        return kept


def _row(position: int, step: Step) -> dict[str, Any]:
    before, after = step.before or {}, step.after or {}
    system = after.get("system")
    return {
        "position": position,
        "instance_id": str(step.instance_id),
        "service_id": str(step.service_id),
        "payer_id": step.payer_id and str(step.payer_id),
        "location": after.get("location"),
        "pos_code": after.get("posCode"),
        "mapping_id": str(mapping_id(step.instance_id, system)) if system else None,
        "system": system,
        "external_id": after.get("externalId"),
        "before": before.get("externalId"),
        "into_id": step.merged_into and str(step.merged_into),
        "revives": step.revives,
    }


# What is made may be what twins are merged into, and mapped; orphans are nobody's, so they come last.
_ORDER = (
    Action.CREATE_INSTANCE,
    Action.RETIRE_DUPLICATE,
    Action.CREATE_MAPPING,
    Action.REPAIR_MAPPING,
    Action.REMOVE_ORPHAN,
)
_ROWS = """jsonb_to_recordset(:rows) as r (
    position integer, instance_id uuid, service_id uuid, payer_id uuid, location text, pos_code text, mapping_id uuid,
    system text, external_id text, before text, into_id uuid, revives boolean)"""


def _statement(sql: str) -> sa.TextClause:
    return sa.text(sql).bindparams(sa.bindparam("rows", type_=JSONB))


_STATEMENTS: Mapping[Action, sa.TextClause] = {
    Action.RETIRE_DUPLICATE: _statement(f"""
        with r as (select * from {_ROWS}),
        was as (
            select r.position, i.id as from_id, k.id as into_id, to_jsonb(i) as duplicate, to_jsonb(k) as kept from r
            join service_instances i on i.id = r.instance_id join service_instances k on k.id = r.into_id),
        {repointed("was")},
        retired as (
            update service_instances i set retired_at = coalesce(i.retired_at, :now), retired_reason = :merged
            from was where i.id = was.from_id returning was.position)
        select position, jsonb_build_object('duplicate', was.duplicate, 'kept', was.kept, 'appointmentIds',
            coalesce((select jsonb_agg(v.id order by v.id) from visits v where v.from_id = was.from_id), '[]'))
        from was join retired using (position)
    """),
    Action.CREATE_INSTANCE: _statement(f"""
        with r as (select * from {_ROWS}),
        made as (
            insert into service_instances (id, service_id, payer_id, location, pos_code)
            select instance_id, service_id, payer_id, location, pos_code from r
            on conflict do nothing returning id)
        select r.position, null from r join made on made.id = r.instance_id
    """),
    Action.CREATE_MAPPING: _statement(f"""
        with r as (select * from {_ROWS}),
        made as (
            insert into service_instance_integrations (id, service_instance_id, system, external_id)
            select r.mapping_id, r.instance_id, r.system, r.external_id from r
            join service_instances i on i.id = r.instance_id
            on conflict do nothing returning id)
        select r.position, null from r join made on made.id = r.mapping_id
    """),
    Action.REPAIR_MAPPING: _statement(f"""
        with r as (select * from {_ROWS})
        update service_instance_integrations m set external_id = r.external_id from r
        where m.service_instance_id = r.instance_id and m.system = r.system and m.external_id = r.before
        returning r.position, null
    """),
    Action.REMOVE_ORPHAN: _statement(f"""
        with r as (select * from {_ROWS}),
        unmapped as (
            delete from service_instance_integrations m using r where m.service_instance_id = r.instance_id
            returning m.service_instance_id, to_jsonb(m) as mapping),
        removed as (
            delete from service_instances i using r where i.id = r.instance_id and i.payer_id is null
            returning r.position, i.id, to_jsonb(i) as instance)
        select position, jsonb_build_object('instance', instance, 'mappings', coalesce(
            (select jsonb_agg(mapping) from unmapped where service_instance_id = removed.id), '[]'))
        from removed
    """),
}
_REVIVE = _statement(f"""
    update service_instances i set retired_at = null, retired_reason = null from {_ROWS}
    where i.id = r.into_id and r.revives
""")
