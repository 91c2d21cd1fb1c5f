"""Service instances with what is odd about them: of one payer, or all of those that somebody has to look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from moonlit.db.paging import by_name
from moonlit.db.tables import appointments, payers, service_instance_integrations, service_instances, services
from moonlit.errors import NotFound
from moonlit.provisioning.instances.answers import InstanceList, InstanceShown, IntegrationShown
from moonlit.provisioning.rules import DUPLICATE_ON_IMPORT


@dataclass(frozen=True, slots=True)
class Filter:
    """Which instances; each None for whatever, and several together for those that are all of it."""

    payer_id: UUID | None = None
    retired: bool | None = None
    orphaned: bool | None = None
    duplicated: bool | None = None
    unmapped: bool | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the filter in SQL."""
        wanted = (
            (self.retired, ~_IS_LIVE),
            (self.orphaned, _ORPHANED),
            (self.duplicated, _DUPLICATED),
            (self.unmapped, _UNMAPPED),
        )
        found = [condition if value else ~condition for value, condition in wanted if value is not None]
        return found if self.payer_id is None else [*found, service_instances.c.payer_id == self.payer_id]


def page(connection: sa.Connection, wanted: Filter, zone: ZoneInfo, *, limit: int, after: str | None) -> InstanceList:
    """Return a page of instances by place and id; `after` is the cursor of the page before.

    Raises:
        NotFound: There is no such payer.
        RequestValidationError: `after` is no cursor of this list.
    """
    if wanted.payer_id and not connection.scalar(sa.select(sa.exists().where(payers.c.id == wanted.payer_id))):
        raise NotFound("no such payer")
    table = service_instances.c
    found = by_name(connection, _SHOWN.where(*wanted.conditions()), table.location, table.id, limit=limit, after=after)
    return InstanceList(items=[_shown(row, zone) for row in found.rows], next_cursor=found.next_cursor)


def one(connection: sa.Connection, instance_id: UUID, zone: ZoneInfo) -> InstanceShown:
    """Return an instance that exists."""
    query = _SHOWN.where(service_instances.c.id == instance_id)
    return _shown(connection.execute(query).mappings().one(), zone)


def _shown(row: sa.RowMapping, zone: ZoneInfo) -> InstanceShown:
    retired_at = row["retired_at"] and row["retired_at"].astimezone(zone)
    integrations = [
        IntegrationShown(system=system, external_id=external_id)
        for system, external_id in json.loads(row["integrations"])
    ]
    return InstanceShown(**dict(row) | {"retired_at": retired_at, "integrations": integrations})


def _twins() -> sa.ColumnElement[bool]:
    """Return whether the row, live or surplus of an import, has the same key as another such row."""
    other = service_instances.alias("other")
    same = [other.c[name] == service_instances.c[name] for name in ("service_id", "payer_id", "location", "pos_code")]
    in_use = sa.or_(other.c.retired_at.is_(None), other.c.retired_reason == DUPLICATE_ON_IMPORT)
    twin = sa.exists().where(other.c.id != service_instances.c.id, in_use, *same)
    return sa.and_(sa.or_(_IS_LIVE, service_instances.c.retired_reason.is_not_distinct_from(DUPLICATE_ON_IMPORT)), twin)


_mappings = service_instance_integrations
_IS_LIVE: sa.ColumnElement[bool] = service_instances.c.retired_at.is_(None)
_ORPHANED = sa.and_(_IS_LIVE, service_instances.c.payer_id.is_(None))
_DUPLICATED = _twins()
_UNMAPPED = sa.and_(_IS_LIVE, ~sa.exists().where(_mappings.c.service_instance_id == service_instances.c.id))
_PAIR = sa.func.json_build_array(_mappings.c.system, _mappings.c.external_id)
_INTEGRATIONS = (
    sa.select(sa.func.coalesce(sa.cast(sa.func.json_agg(aggregate_order_by(_PAIR, _mappings.c.system)), sa.Text), "[]"))
    .where(_mappings.c.service_instance_id == service_instances.c.id)
    .scalar_subquery()
)
_REFERRING = (
    sa.select(sa.func.count()).where(appointments.c.service_instance_id == service_instances.c.id).scalar_subquery()
)
_SHOWN: sa.Select[Any] = (
    sa.select(
        service_instances,
        sa.func.btrim(services.c.name).label("service_name"),
        sa.func.btrim(payers.c.name).label("payer_name"),
        _ORPHANED.label("orphaned"),
        _DUPLICATED.label("duplicated"),
        _UNMAPPED.label("unmapped"),
        _INTEGRATIONS.label("integrations"),
        _REFERRING.label("appointments"),
    )
    .join(services, services.c.id == service_instances.c.service_id)
    .outerjoin(payers, payers.c.id == service_instances.c.payer_id)
)
