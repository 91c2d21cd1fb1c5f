"""Services of the same name: payers are given one of them here and one there, until somebody merges them."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Literal
from uuid import UUID

import sqlalchemy as sa

from moonlit.catalog.merging_rules import Counted, suggested
from moonlit.web.models import Model


class DuplicateService(Model):
    """One of them: `instances` are live ones, `isDefault` when the practice's settings name it."""

    id: UUID
    name: str
    kind: Literal["intake", "follow_up", "injection", "assessment", "psychotherapy", "consultation"]
    modality: Literal["telehealth", "in_person"]
    duration_minutes: int
    codes: list[str]
    is_active: bool
    instances: int
    appointments: int
    is_default: bool


class DuplicateGroup(Model):
    """Services whose names are the same but for spaces around them and capitals; `suggestedKeep` is one of them."""

    name: str
    services: list[DuplicateService]
    suggested_keep: UUID


class DuplicateList(Model):
    """Every group, by name; there is no second page."""

    items: list[DuplicateGroup]
    next_cursor: None = None


def duplicates(connection: sa.Connection) -> DuplicateList:
    """Return the groups of services with one name. Those that are out of use, and that nothing refers to, are none."""
    groups: defaultdict[str, list[DuplicateService]] = defaultdict(list)
    for row in json.loads(connection.execute(_NAMESAKES).scalar_one()):
        groups[row.pop("namesake")].append(DuplicateService(**row))
    return DuplicateList(items=[_group(services) for services in groups.values()])


def _group(services: list[DuplicateService]) -> DuplicateGroup:
    kept = suggested(
        Counted(each.id, each.is_active, each.is_default, each.appointments, each.instances) for each in services
    )
    name = next(each.name for each in services if each.id == kept)
    return DuplicateGroup(name=name.strip(), services=services, suggested_keep=kept)


_NAMESAKES = sa.text("""
    with counted as (
        select s.id, s.name, lower(btrim(s.name)) as namesake, s.kind, s.modality, s.duration_minutes, s.codes,
            s.is_active, (
                select count(*) from service_instances i where i.service_id = s.id and i.retired_at is null
            ) as instances,
            coalesce(v.visits, 0) as appointments, exists (
                select from practice_settings, jsonb_array_elements(default_services) d
                where cast(d ->> 'service_id' as uuid) = s.id
            ) as is_default
        from services s
        left join (
            select service_id, count(*) as visits from appointments where service_id is not null group by service_id
        ) v on v.service_id = s.id
    ), standing as (
        select *, count(*) over (partition by namesake) as namesakes from counted
        where is_active or instances > 0 or appointments > 0 or is_default
    )
    select coalesce(json_agg(json_build_object(
        'namesake', namesake, 'id', id, 'name', name, 'kind', kind, 'modality', modality,
        'duration_minutes', duration_minutes, 'codes', codes, 'is_active', is_active, 'instances', instances,
        'appointments', appointments, 'is_default', is_default) order by namesake, id), '[]')::text
    from standing where namesakes > 1
""")
