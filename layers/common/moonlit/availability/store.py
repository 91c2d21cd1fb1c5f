"""What availability reads: one statement for the facts, one for hours, one for everything that takes time.

PostgreSQL aggregates and Python parses one text: reading instants row by row through the driver costs 18 µs a row,
and a month of a practice has ten thousand.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.availability.hours import Hours, Span
from moonlit.payers.rules import Contract, Payer, Provider, Supervision

# Keyed by the system whose calendar it is; `practiceq` is `intakeq` since the loader.
_FACTS = sa.text("""
select json_build_object(
  'practice', (select json_build_object('timezone', timezone, 'settings', settings)
               from practice_settings),
  'payer', (select json_build_object('id', id, 'name', name, 'type', type, 'status_code', status_code)
            from payers where id = :payer_id),
  'service', (select row_to_json(s) from services s where s.id = :service_id and s.is_active),
  'contracts', (select coalesce(json_agg(json_build_array(provider_id, effective_date, end_date)), '[]')
                from provider_payer_networks
                where payer_id = :payer_id and status = 'active' and effective_date is not null),
  'supervision', (select coalesce(json_agg(json_build_array(
                           resident_id, attending_id, level = 'co_visit_required', effective_date, end_date)), '[]')
                  from supervision_relationships where payer_id is null or payer_id = :payer_id),
  'providers', (select coalesce(json_agg(json_build_array(
                         p.id, p.name, p.person_id, p.license_states, p.native_langs, p.interpreter_ok, p.active,
                         p.accepting_new_patients, p.max_daily_appointments, p.timezone, p.ehr_system,
                         a.window_last, m.external_id, m.service_instance_id)
                       order by p.id), '[]')
                from providers p
                left join ehr_accounts a on a.system = p.ehr_system
                left join lateral (
                  select x.external_id, x.service_instance_id
                  from service_instances i
                  join service_instance_integrations x on x.service_instance_id = i.id and x.system = p.ehr_system
                  where (:service_id is null or i.service_id = :service_id)
                    and i.payer_id = :payer_id and i.retired_at is null
                  order by i.id limit 1) m on true)
)::text
""").bindparams(sa.bindparam("payer_id", type_=sa.UUID), sa.bindparam("service_id", type_=sa.UUID))

_HOURS = sa.text("""
select json_build_object(
  'hours', (select coalesce(json_agg(json_build_array(
                     provider_id, weekday, "start", "end", timezone, valid_from, valid_to)), '[]')
            from provider_hours
            where provider_id = any(:provider_ids) and modality = :modality
              and (:location_id is null or location_id = :location_id)),
  'time_off', (select coalesce(json_agg(json_build_array(
                        p.id, extract(epoch from o."start")::bigint, extract(epoch from o."end")::bigint)), '[]')
               from provider_time_off o
               join providers colleague on colleague.id = o.provider_id
               join providers p on p.person_id = colleague.person_id
               where p.id = any(:provider_ids) and o."end" > :start and o."start" < :end)
)::text
""").bindparams(sa.bindparam("provider_ids", type_=sa.ARRAY(sa.UUID)), sa.bindparam("location_id", type_=sa.UUID))

# Every claim on the persons' time, and every active row of the EHR's calendar, matched or not, over all their ids; but
# not the caller's own hold and visit, nor holds that ran out. The systems are joined one by one: otherwise the planner
# would take the seats for a single one, and read the calendar again for each of them.
_BUSY = """
with seats as (
  select e.id account_id, s.practitioner_id, p.person_id from providers p
  join provider_intakeq_settings s on s.provider_id = p.id join ehr_accounts e on e.system = 'intakeq'
  union
  select e.id, s.athena_provider_id, p.person_id from providers p
  join provider_athena_settings s on s.provider_id = p.id join ehr_accounts e on e.system = 'athena'
)
select person_id, {columns} from (
  select c.resource_id person_id, c.span, coalesce(a.start, h.start) starts_at
  from time_claims c
  left join appointment_holds h on h.id = c.hold_id left join appointments a on a.id = c.appointment_id
  where c.resource_kind = 'person' and c.resource_id = any(:person_ids) and c.span && tstzrange(:start, :end)
    and (c.hold_id is null or h.expires_at > :now)
    and (:hold_id is null or c.hold_id is distinct from :hold_id)
    and (:appointment_id is null or c.appointment_id is distinct from :appointment_id)
  union all
  select seats.person_id, m.span, lower(m.span)
  from ehr_appointments m
  join seats on seats.account_id = m.account_id and seats.practitioner_id = m.practitioner_id
    and seats.person_id = any(:person_ids)
  left join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id
  where m.span && tstzrange(:start, :end) and m.status in ('scheduled', 'confirmed') and not m.deleted_in_ehr
    and (:appointment_id is null or x.appointment_id is distinct from :appointment_id) {unmatched}
) busy group by {groups}
"""
_TYPES = (
    sa.bindparam("person_ids", type_=sa.ARRAY(sa.UUID)),
    sa.bindparam("hold_id", type_=sa.UUID),
    sa.bindparam("appointment_id", type_=sa.UUID),
    sa.bindparam("start", type_=sa.DateTime(timezone=True)),
    sa.bindparam("end", type_=sa.DateTime(timezone=True)),
)
_SPAN = "extract(epoch from lower(span))::bigint || ' ' || extract(epoch from upper(span))::bigint"
_BUSY_SPANS = sa.text(_BUSY.format(columns=f"string_agg({_SPAN}, ' ')", unmatched="", groups="person_id")).bindparams(
    *_TYPES
)
_VISITS_A_DAY = sa.text(
    _BUSY.format(
        columns="(starts_at at time zone :zone)::date as day, count(*)",
        unmatched="and x.appointment_id is null",  # A matched one is counted by its claim.
        groups="person_id, day",
    )
).bindparams(*_TYPES)


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the catalog; `base_rate` is a decimal as text."""

    id: UUID
    name: str
    kind: str
    modality: str
    duration_minutes: int
    buffer_before_minutes: int
    buffer_after_minutes: int
    min_notice_minutes: int | None
    codes: tuple[str, ...]
    base_rate: str | None
    room_required: bool
    dose_required: bool


@dataclass(frozen=True, slots=True)
class ServiceMapping:
    """The EHR's id of the service for this payer, and the live instance that maps it."""

    external_id: str
    service_instance_id: UUID


@dataclass(frozen=True, slots=True)
class Facts:
    """What eligibility needs to know; payer and service are None when no such (active) row exists."""

    zone: str
    settings: Mapping[str, Any]
    payer: Payer | None
    service: Service | None
    contracts: Sequence[Contract]
    supervision: Sequence[Supervision]
    providers: Mapping[UUID, Provider]
    zones: Mapping[UUID, str]
    systems: Mapping[UUID, str]
    mappings: Mapping[UUID, ServiceMapping]

    @property
    def zone_info(self) -> ZoneInfo:
        """Return the practice's zone."""
        return ZoneInfo(self.zone)


@dataclass(frozen=True, slots=True)
class Own:
    """The caller's own hold and own visit, whose time does not count against them."""

    hold_id: UUID | None = None
    appointment_id: UUID | None = None


NOBODYS = Own()


class Availability:
    """What one transaction sees of who works when and what is taken."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def today(self, now: datetime) -> date:
        """Return the practice's local date at `now`."""
        zone = self._connection.execute(sa.text("select timezone from practice_settings")).scalar_one()
        return now.astimezone(ZoneInfo(zone)).date()

    def facts(self, payer_id: UUID, service_id: UUID | None) -> Facts:
        """Return the facts about a payer, a service and every provider."""
        found = self._json(_FACTS, payer_id=payer_id, service_id=service_id)
        payer, service, practice = found["payer"], found["service"], found["practice"]
        providers = [_provider(row) for row in found["providers"]]
        return Facts(
            zone=practice["timezone"],
            settings=practice["settings"],
            payer=Payer(UUID(payer["id"]), payer["name"], payer["type"], payer["status_code"]) if payer else None,
            service=_service(service) if service else None,
            contracts=[Contract(UUID(p), date.fromisoformat(a), _day(b)) for p, a, b in found["contracts"]],
            supervision=[
                Supervision(UUID(resident), UUID(attending), co_visit, date.fromisoformat(first), _day(last))
                for resident, attending, co_visit, first, last in found["supervision"]
            ],
            providers={provider.id: provider for provider in providers},
            zones={UUID(row[0]): row[9] for row in found["providers"]},
            systems={UUID(row[0]): row[10] for row in found["providers"]},
            mappings={UUID(row[0]): ServiceMapping(row[12], UUID(row[13])) for row in found["providers"] if row[12]},
        )

    def hours(
        self, provider_ids: Collection[UUID], modality: str, location_id: UUID | None, span: Span
    ) -> tuple[dict[UUID, list[Hours]], dict[UUID, list[Span]]]:
        """Return the providers' hours of that modality (and place), and the time off of the persons behind them."""
        found = self._json(
            _HOURS,
            provider_ids=list(provider_ids),
            modality=modality,
            location_id=location_id,
            start=_instant(span[0]),
            end=_instant(span[1]),
        )
        hours: defaultdict[UUID, list[Hours]] = defaultdict(list)
        for provider, weekday, start, end, zone, valid_from, valid_to in found["hours"]:
            window = Hours(weekday, _seconds(start), _seconds(end), zone, _day(valid_from), _day(valid_to))
            hours[UUID(provider)].append(window)
        time_off: defaultdict[UUID, list[Span]] = defaultdict(list)
        for provider, start, end in found["time_off"]:
            time_off[UUID(provider)].append((start, end))
        return hours, time_off

    def busy(self, person_ids: Collection[UUID], span: Span, now: datetime, own: Own) -> dict[UUID, list[Span]]:
        """Return by person what takes their time within `span`, in no order and not merged."""
        rows = self._connection.execute(_BUSY_SPANS, _busy_parameters(person_ids, span, now, own))
        found = {}
        for person_id, text in rows:
            numbers = iter(map(int, text.split()))
            found[person_id] = list(zip(numbers, numbers, strict=True))
        return found

    def visits_a_day(
        self, person_ids: Collection[UUID], zone: str, span: Span, now: datetime, own: Own
    ) -> dict[tuple[UUID, date], int]:
        """Return how many active visits and holds each person has on each local day of `zone`."""
        rows = self._connection.execute(_VISITS_A_DAY, _busy_parameters(person_ids, span, now, own) | {"zone": zone})
        return {(person_id, day): count for person_id, day, count in rows}

    def _json(self, statement: sa.TextClause, **parameters: object) -> Any:
        return json.loads(self._connection.execute(statement, parameters).scalar_one())


def _busy_parameters(person_ids: Collection[UUID], span: Span, now: datetime, own: Own) -> dict[str, Any]:
    return {
        "person_ids": list(person_ids),
        "start": _instant(span[0]),
        "end": _instant(span[1]),
        "now": now,
        "hold_id": own.hold_id,
        "appointment_id": own.appointment_id,
    }


def _provider(row: Sequence[Any]) -> Provider:
    return Provider(
        id=UUID(row[0]),
        name=row[1],
        person_id=UUID(row[2]),
        states=frozenset(row[3]),
        languages=tuple(row[4]),
        interpreter_ok=row[5],
        active=row[6],
        accepting_new_patients=row[7],
        max_daily=row[8],
        has_mapping=row[12] is not None,
        synced_through=_day(row[11]),
    )


def _service(row: Mapping[str, Any]) -> Service:
    kept = {name: row[name] for name in Service.__dataclass_fields__}
    rate = kept["base_rate"]
    return Service(
        **kept | {"id": UUID(kept["id"]), "codes": tuple(kept["codes"]), "base_rate": f"{rate:.2f}" if rate else None}
    )


def _seconds(wall_clock: str) -> int:
    hour, minute = wall_clock.split(":")
    return int(hour) * 3600 + int(minute) * 60


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
