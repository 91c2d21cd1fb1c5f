"""The store of service instances, as staff change them one by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from moonlit.booking.stranding import Stranded, future_visits, stranded
from moonlit.db.engine import violated_constraint
from moonlit.db.tables import appointments, service_instance_integrations, service_instances, services
from moonlit.errors import NotFound
from moonlit.provisioning.instances.errors import InstanceExists

BY_STAFF = "retired_by_staff"
_LIVE = "uq_service_instances_live"


class InstanceTables:
    """Service instances as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def has(self, table: sa.Table, row_id: UUID) -> bool:
        """Tell whether the table has such a row."""
        return bool(self._connection.scalar(sa.select(sa.exists().where(table.c.id == row_id))))

    def is_in_use(self, service_id: UUID) -> bool | None:
        """Tell whether the service is in use, None when there is none; it stays so until this transaction ends."""
        query = sa.select(services.c.is_active).where(services.c.id == service_id).with_for_update(read=True)
        in_use: bool | None = self._connection.execute(query).scalar_one_or_none()
        return in_use

    def add(self, row: Mapping[str, Any]) -> None:
        """Store an instance.

        Raises:
            InstanceExists: A live one has the same service, payer, location and place of service.
        """
        try:
            with self._connection.begin_nested():  # A refusal leaves a question to ask.
                self._connection.execute(sa.insert(service_instances).values(**row))
        except DBAPIError as error:
            if violated_constraint(error) != _LIVE:
                raise
            stands = str(self._twin(row))
            raise InstanceExists(f"service instance {stands}", serviceInstanceId=stands) from None

    def locked(self, instance_id: UUID) -> Mapping[str, Any]:
        """Return an instance that is to be changed, locked for this transaction.

        Raises:
            NotFound: There is no such instance.
        """
        query = sa.select(service_instances).where(service_instances.c.id == instance_id).with_for_update()
        row = self._connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFound("no such service instance")
        return dict(row)

    def retire(self, instance_id: UUID, now: datetime) -> None:
        """Take an instance out of use; what refers to it goes on referring to it."""
        retired = sa.update(service_instances).where(service_instances.c.id == instance_id)
        self._connection.execute(retired.values(retired_at=now, retired_reason=BY_STAFF))

    def external_id(self, instance_id: UUID, system: str) -> str | None:
        """Return what the instance is called in the EHR, None when it is not mapped there."""
        table = service_instance_integrations.c
        query = sa.select(table.external_id).where(table.service_instance_id == instance_id, table.system == system)
        return self._connection.scalar(query)

    def map(self, instance_id: UUID, system: str, external_id: str, *, is_new: bool) -> None:
        """Say what a locked instance is called in the EHR."""
        table = service_instance_integrations
        if is_new:
            row = {"id": uuid4(), "service_instance_id": instance_id, "system": system}
            self._connection.execute(sa.insert(table).values(**row, external_id=external_id))
        else:
            mapped = sa.update(table).where(table.c.service_instance_id == instance_id, table.c.system == system)
            self._connection.execute(mapped.values(external_id=external_id))

    def systems_lost_without(self, instance: Mapping[str, Any]) -> list[str]:
        """Return the EHRs in which the payer has the service by this live instance alone."""
        mappings, others = service_instance_integrations, service_instances.alias()
        theirs = mappings.alias()
        elsewhere = (
            sa.select(theirs.c.system)
            .join(others, others.c.id == theirs.c.service_instance_id)
            .where(
                others.c.id != instance["id"],
                others.c.service_id == instance["service_id"],
                others.c.payer_id == instance["payer_id"],
                others.c.retired_at.is_(None),
            )
        )
        mine = mappings.c.service_instance_id == instance["id"]
        query = sa.select(mappings.c.system).where(mine, mappings.c.system.not_in(elsewhere))
        return list(self._connection.scalars(query))

    def stranded_without(self, instance: Mapping[str, Any], now: datetime) -> Stranded:
        """Return the visits to come whose service nothing would map any more, so that they could not be moved."""
        if instance["payer_id"] is None or instance["retired_at"]:
            return stranded(())
        query = sa.select(appointments.c.id).where(
            appointments.c.service_id == instance["service_id"],
            appointments.c.payer_id == instance["payer_id"],
            appointments.c.start > now,
            appointments.c.system.in_(self.systems_lost_without(instance)),
        )
        theirs = set(self._connection.scalars(query))
        coming = future_visits(self._connection, now, payer_ids=[instance["payer_id"]]) if theirs else []
        return stranded(visit.stranded("no_service_mapping") for visit in coming if visit.id in theirs)

    def _twin(self, row: Mapping[str, Any]) -> UUID | None:
        same = [service_instances.c[name] == row[name] for name in ("service_id", "payer_id", "location", "pos_code")]
        live = service_instances.c.retired_at.is_(None)
        return self._connection.scalar(sa.select(service_instances.c.id).where(live, *same))
