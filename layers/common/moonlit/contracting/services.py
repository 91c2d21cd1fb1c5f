"""The services that a payer has, and those that the practice would have it have, with how far they are set up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Mapping:
    """What a service is called in an EHR, by the live instance that booking would take."""

    system: Literal["intakeq", "athena"]
    external_id: str
    service_instance_id: UUID


@dataclass(frozen=True, slots=True)
class OfferedService:
    """A service for a payer; of several live instances `instance_id` is the first that is mapped, else the first."""

    id: UUID
    name: str
    kind: str
    is_active: bool
    dose_required: bool
    instance_id: UUID | None
    mappings: tuple[Mapping, ...]


def services_of(connection: sa.Connection, payer_id: UUID, service_id: UUID | None) -> list[OfferedService]:
    """Return the practice's default services and those with a live instance of the payer, by name.

    With `service_id` it is that service alone, whether the payer should have it or not; none if there is no such.
    """
    rows = connection.execute(_SERVICES, {"payer_id": payer_id, "service_id": service_id}).mappings()
    return [
        OfferedService(**dict(row) | {"mappings": tuple(_mapping(*mapping) for mapping in json.loads(row["mappings"]))})
        for row in rows
    ]


def _mapping(system: Literal["intakeq", "athena"], external_id: str, instance_id: str) -> Mapping:
    return Mapping(system, external_id, UUID(instance_id))


# Of each system the mapping with the lowest instance, as booking takes it.
_SERVICES = sa.text("""
    with live as (
        select i.id, i.service_id, x.system, x.external_id
        from service_instances i left join service_instance_integrations x on x.service_instance_id = i.id
        where i.payer_id = :payer_id and i.retired_at is null
    )
    select s.id, btrim(s.name) as name, s.kind, s.is_active, s.dose_required,
        (select l.id from live l where l.service_id = s.id order by l.system is null, l.id limit 1) as instance_id,
        (select coalesce(json_agg(json_build_array(m.system, m.external_id, m.id) order by m.system), '[]')
         from (select distinct on (l.system) l.* from live l
               where l.service_id = s.id and l.system is not null order by l.system, l.id) m)::text as mappings
    from services s
    where case when :service_id is null then
            s.id in (select service_id from live) or s.id in (
                select (d ->> 'service_id')::uuid from practice_settings, jsonb_array_elements(default_services) d)
        else s.id = :service_id end
    order by btrim(s.name), s.id
""").bindparams(sa.bindparam("payer_id", type_=sa.UUID), sa.bindparam("service_id", type_=sa.UUID))
