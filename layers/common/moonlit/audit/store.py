"""The audit log: every change with who made it, and every look at a patient. Rows are added and never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from moonlit.db.tables import audit_log


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, by ids alone.

    Attributes:
        organization_id: A partner's; None for the practice's own people and for schedules.
        request_id: Of the request in which they do it, None outside of HTTP.
    """

    kind: Literal["staff", "partner", "calendar", "system"]
    user_id: UUID | None = None
    organization_id: UUID | None = None
    request_id: str | None = None

    @property
    def reference(self) -> str:
        """Who it is in one word, such as `partner:<id>`, as logs of refreshes keep it."""
        return f"{self.kind}:{self.user_id}" if self.user_id else self.kind


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one thing, as `Audit.changed` takes it."""

    action: str
    entity: str
    entity_id: object
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class Audit:
    """The audit log as one transaction sees it. It never commits."""

    def __init__(self, connection: sa.Connection, actor: Actor, now: datetime) -> None:
        self._connection = connection
        self._actor = actor
        self._now = now

    @property
    def now(self) -> datetime:
        """The instant at which everything here is noted."""
        return self._now

    def read(
        self, entity: str, patient_ids: Collection[UUID], entity_id: object = None, *, others: Collection[UUID] = ()
    ) -> None:
        """Note that these patients were shown; `others` are people who are no patients, such as leads."""
        after = {"ids": [str(other) for other in others]} if others else None
        self._add("read", entity, entity_id, patient_ids=list(patient_ids), after=after)

    def changed(
        self,
        action: str,
        entity: str,
        entity_id: object,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        patient_ids: Collection[UUID] = (),
    ) -> None:
        """Note a change, with what was before and after it, ready for JSON; ids and codes, never names."""
        self._add(
            action,
            entity,
            entity_id,
            before=dict(before) if before is not None else None,
            after=dict(after) if after is not None else None,
            patient_ids=list(patient_ids),
        )

    def changed_each(self, changes: Iterable[Change]) -> None:
        """Note many changes in one statement."""
        rows = [
            {
                "action": change.action,
                "entity": change.entity,
                "entity_id": str(change.entity_id),
                "before": change.before,
                "after": change.after,
            }
            for change in changes
        ]
        who = {
            "at": self._now,
            "actor_kind": self._actor.kind,
            "actor_id": self._actor.user_id,
            "organization_id": self._actor.organization_id,
            "request_id": self._actor.request_id,
        }
        if rows:
            self._connection.execute(_CHANGES, {"rows": rows} | who)

    def refused(self, slug: str, entity: str, entity_id: object = None) -> None:
        """Note that somebody asked for what they may not have; `slug` says how it was refused."""
        self._add("refused", entity, entity_id, after={"slug": slug})

    def _add(self, action: str, entity: str, entity_id: object, **values: Any) -> None:
        self._connection.execute(
            insert(audit_log)
            .values(
                id=uuid4(),
                at=self._now,
                actor_kind=self._actor.kind,
                actor_id=self._actor.user_id,
                organization_id=self._actor.organization_id,
                request_id=self._actor.request_id,
                action=action,
                entity=entity,
                entity_id=None if entity_id is None else str(entity_id),
                **{"before": sa.null(), "after": sa.null(), **_without_none(values)},
            )
            .on_conflict_do_nothing()  # Of a refresh the first look counts.
        )


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


_CHANGES = sa.text("""
    insert into audit_log (id, at, actor_kind, actor_id, organization_id, request_id, action, entity, entity_id,
        before, after)
    select gen_random_uuid(), :at, :actor_kind, :actor_id, :organization_id, :request_id, c.action, c.entity,
        c.entity_id, c.before, c.after
    from jsonb_to_recordset(:rows) as c (action text, entity text, entity_id text, before jsonb, after jsonb)
""").bindparams(
    sa.bindparam("rows", type_=JSONB),
    sa.bindparam("actor_id", type_=sa.UUID),
    sa.bindparam("organization_id", type_=sa.UUID),
)
