"""What we have mapped to the EHRs: services, providers and places, as the mapping check needs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.catalog.mapping_rules import Mappings, PlaceMapping, ProviderMapping, ServiceMapping


def mappings(connection: sa.Connection, system: str) -> Mappings:
    """Return everything that is mapped to an EHR: of live instances, of the defaults, of active providers."""
    found = json.loads(connection.execute(_MAPPED, {"system": system}).scalar_one())
    return Mappings(
        services=[_service(row) for row in found["services"] or ()],
        providers=[
            ProviderMapping(row["external_id"], UUID(row["provider_id"]), row["location_id"])
            for row in found["providers"] or ()
        ],
        places=[PlaceMapping(row["external_id"], UUID(row["location_id"])) for row in found["places"] or ()],
    )


def _service(row: Mapping[str, Any]) -> ServiceMapping:
    ids = {"service_id": UUID(row["service_id"]), "instance_ids": [UUID(each) for each in row["instance_ids"]]}
    return ServiceMapping(**{**row, **ids})


# An entry of the defaults whose service is gone says nothing any more.
_MAPPED = sa.text("""
    with said as (
        select i.service_id, n.external_id, i.id as instance_id, i.payer_id, false as is_default
        from service_instance_integrations n join service_instances i on i.id = n.service_instance_id
        where n.system = :system and i.retired_at is null
        union all
        select cast(d ->> 'service_id' as uuid), d -> 'mappings' ->> :system, null, null, true
        from practice_settings, jsonb_array_elements(default_services) d
        where d -> 'mappings' ->> :system is not null
    ), services as (
        select said.external_id, said.service_id, s.name, s.duration_minutes,
            coalesce(array_agg(instance_id order by instance_id) filter (where instance_id is not null), '{}')
                as instance_ids,
            count(distinct payer_id) as payers, bool_or(is_default) as is_default
        from said join services s on s.id = said.service_id
        group by said.external_id, said.service_id, s.name, s.duration_minutes
    ), seats as (
        select practitioner_id as external_id, provider_id, location_id from provider_intakeq_settings
        where :system = 'intakeq'
        union all
        select athena_provider_id, provider_id, department_id from provider_athena_settings where :system = 'athena'
    )
    select json_build_object(
        'services', (select json_agg(services order by external_id, service_id) from services),
        'providers', (
            select json_agg(m order by m.external_id, m.provider_id)
            from seats m join providers p on p.id = m.provider_id where p.active),
        'places', (
            select json_agg(json_build_object('external_id', athena_department_id, 'location_id', id)
                order by athena_department_id, id)
            from locations where athena_department_id is not null and :system = 'athena')
    )::text
""").bindparams(sa.bindparam("system", type_=sa.Text))
