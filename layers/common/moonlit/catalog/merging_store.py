"""What refers to a service, moved to another one. Each statement handles all rows of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from moonlit.booking.repointing import repointed
from moonlit.booking.store import ACTIVE
from moonlit.catalog.merging_rules import merged_defaults
from moonlit.db.tables import appointment_holds, appointments, audit_log, practice_settings, services
from moonlit.db.turns import take_turn
from moonlit.provisioning.rules import DUPLICATE_MERGED

MERGED = "merge"
"""The action under which the audit log keeps what a merge did."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A live instance of the merged service that the other one has too, and what was moved from it."""

    instance_id: UUID
    kept_id: UUID
    appointments: int
    systems: Sequence[str]


class Merge:
    """One service on its way into another, within one transaction. It never commits."""

    def __init__(self, connection: sa.Connection, source: UUID, target: UUID, now: datetime) -> None:
        self._connection = connection
        self._source, self._target = source, target
        self._now = now

    def locked(self) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        """Return the two services as they stand, None for one that there is not.

        Nobody provisions, merges or books into them until this transaction ends.
        """
        take_turn(self._connection, "catalog")  # The settings name default services.
        take_turn(self._connection, "provisioning")  # A plan made from what is moved here would make it anew.
        wanted = sa.select(services).where(services.c.id.in_([self._source, self._target]))
        rows = self._connection.execute(wanted.order_by(services.c.id).with_for_update()).mappings()
        found = {row["id"]: dict(row) for row in rows}
        return found.get(self._source), found.get(self._target)

    def earlier(self) -> Mapping[str, Any] | None:
        """Return what the log keeps of the latest merge of the service, None when it never was merged."""
        query = (
            sa.select(audit_log.c.after)
            .where(
                audit_log.c.entity == "service",
                audit_log.c.entity_id == str(self._source),
                audit_log.c.action == MERGED,
            )
            .order_by(audit_log.c.at.desc(), audit_log.c.id.desc())
            .limit(1)
        )
        found: Mapping[str, Any] | None = self._connection.execute(query).scalar_one_or_none()
        return found

    def coming(self) -> tuple[int, int]:
        """Return how many active visits of the service are to come, and how many holds of it are live."""
        visits = sa.select(sa.func.count()).where(
            appointments.c.service_id == self._source,
            appointments.c.start > self._now,
            appointments.c.status.in_(ACTIVE),
        )
        holds = sa.select(sa.func.count()).where(
            appointment_holds.c.service_id == self._source, appointment_holds.c.expires_at > self._now
        )
        return self._connection.execute(visits).scalar_one(), self._connection.execute(holds).scalar_one()

    def live_instances(self) -> list[UUID]:
        """Return the live instances of the service, by id."""
        return list(self._connection.execute(_LIVE, self._ids()).scalars())

    def retire_twins(self) -> list[Twin]:
        """Retire the instances that the other service has too; what refers to them moves to those."""
        found = self._connection.execute(_TWINS, self._ids()).all()
        if not found:
            return []
        given = {"twins": [{"from_id": str(mine), "into_id": str(theirs)} for mine, theirs in found]}
        moved = self._connection.execute(_OF_TWINS, given).all()
        self._connection.execute(_RETIRE, {**given, "now": self._now, "reason": DUPLICATE_MERGED})
        return [Twin(row.from_id, row.into_id, row.visits, row.systems) for row in moved]

    def move(self) -> tuple[list[UUID], int, int]:
        """Move everything else; return the live instances, and how many visits and holds that were."""
        instances = self._connection.execute(_INSTANCES, self._ids()).all()
        counts = [
            self._connection.execute(
                sa.update(table).where(table.c.service_id == self._source).values(service_id=self._target)
            ).rowcount
            for table in (appointments, appointment_holds)
        ]
        return sorted(instance_id for instance_id, is_live in instances if is_live), counts[0], counts[1]

    def move_defaults(self) -> int:
        """Let the practice's default services name the other one; return how many entries that were."""
        query = sa.select(practice_settings.c.default_services).with_for_update()
        entries = self._connection.execute(query).scalar_one()
        kept, moved = merged_defaults(entries, self._source, self._target)
        if moved:
            self._connection.execute(sa.update(practice_settings).values(default_services=kept))
        return moved

    def close(self) -> None:
        """Let the service be offered no more."""
        self._connection.execute(sa.update(services).where(services.c.id == self._source).values(is_active=False))

    def _ids(self) -> dict[str, UUID]:
        return {"source": self._source, "target": self._target}


def _statement(sql: str) -> sa.TextClause:
    kinds: dict[str, Any] = {"source": sa.Uuid(), "target": sa.Uuid(), "twins": JSONB()}
    used = [sa.bindparam(name, type_=kind) for name, kind in kinds.items() if f":{name}" in sql]
    return sa.text(sql).bindparams(*used)


_LIVE = _statement("""
    select id from service_instances where service_id = :source and retired_at is null order by id
""")

_TWINS = _statement("""
    select i.id, k.id from service_instances i
    join service_instances k on k.service_id = :target and k.payer_id = i.payer_id and k.location = i.location
        and k.pos_code = i.pos_code and k.retired_at is null
    where i.service_id = :source and i.retired_at is null
    order by i.id
""")

_PAIRS = "jsonb_to_recordset(:twins) as t (from_id uuid, into_id uuid)"
_OF_TWINS = _statement(f"""
    with t as (select * from {_PAIRS}),
    {repointed("t")},
    mapped as (
        update service_instance_integrations m set service_instance_id = t.into_id from t
        where m.service_instance_id = t.from_id and not exists (
            select from service_instance_integrations k
            where k.service_instance_id = t.into_id and k.system = m.system)
        returning t.from_id, m.system)
    select t.from_id, t.into_id, (select count(*) from visits v where v.from_id = t.from_id) as visits,
        array(select system from mapped m where m.from_id = t.from_id order by system) as systems
    from t order by t.from_id
""")

_RETIRE = _statement(f"""
    update service_instances i set retired_at = :now, retired_reason = :reason from {_PAIRS} where i.id = t.from_id
""")

# Those that are retired too: what the EHR calls them stands for one service from now on.
_INSTANCES = _statement("""
    update service_instances set service_id = :target where service_id = :source returning id, retired_at is null
""")
