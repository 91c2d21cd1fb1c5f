"""What availability reads: one statement for the facts, one for hours, one for everything that takes time.

One more for open slots and one for rooms, where the providers or the service have to do with such.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.availability.hours import Hours, Span
from moonlit.availability.slots import OpenSlot
from moonlit.availability.sql import BUSY_SPANS, FACTS, HOURS, OPEN_SLOT_AT, OPEN_SLOTS, ROOMS, VISITS_A_DAY
from moonlit.ehr.port import TRAITS
from moonlit.payers.rules import Contract, Payer, Provider, Roster, Supervision

SLOTS_KEEP = timedelta(hours=24)  # Open slots that were read longer ago are not offered any more.
ANY_REASON = "-1"  # In place of a service: the slot takes whatever may be booked.
EITHER = frozenset({"telehealth", "in_person"})


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
    """What eligibility needs to know; payer and service are None when no such (active) row exists.

    Attributes:
        slots_read_at: Of each provider who is booked into the EHR's open slots: when those were read, None for never.
    """

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
    slots_read_at: Mapping[UUID, datetime | None]

    @property
    def zone_info(self) -> ZoneInfo:
        """Return the practice's zone."""
        return ZoneInfo(self.zone)

    def roster(self, payer: Payer) -> Roster:
        """Return everyone who might see the payer's members; the payer is the one that was asked for."""
        return Roster(payer, self.providers, self.contracts, self.supervision)


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

    def facts(self, payer_id: UUID, service_id: UUID | None, now: datetime) -> Facts:
        """Return the facts about a payer, a service and every provider."""
        found = self._json(FACTS, payer_id=payer_id, service_id=service_id)
        payer, service, practice = found["payer"], found["service"], found["practice"]
        calendars = {system: _calendar(system, *row, now=now) for system, row in found["accounts"].items()}
        providers = [_provider(row, calendars.get(row[10], _UNKNOWN)) for row in found["providers"]]
        systems = {UUID(row[0]): row[10] for row in found["providers"]}
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
            systems=systems,
            mappings={UUID(row[0]): ServiceMapping(row[12], UUID(row[13])) for row in found["providers"] if row[12]},
            slots_read_at={
                provider_id: calendars.get(system, _UNKNOWN).slots_read_at
                for provider_id, system in systems.items()
                if TRAITS[system].has_open_slots
            },
        )

    def hours(
        self, provider_ids: Collection[UUID], modality: str, location_id: UUID | None, span: Span
    ) -> tuple[dict[UUID, list[Hours]], dict[UUID, list[Span]]]:
        """Return the providers' hours of that modality (and place), and the time off of the persons behind them."""
        found = self._json(
            HOURS,
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
        rows = self._connection.execute(BUSY_SPANS, {"person_ids": list(person_ids)} | _foreign(span, now, own))
        return {person_id: _spans(text) for person_id, text in rows}

    def visits_a_day(
        self, person_ids: Collection[UUID], zone: str, span: Span, now: datetime, own: Own
    ) -> dict[tuple[UUID, date], int]:
        """Return how many active visits and holds each person has on each local day of `zone`."""
        given = {"person_ids": list(person_ids), "zone": zone} | _foreign(span, now, own)
        rows = self._connection.execute(VISITS_A_DAY, given)
        return {(person_id, day): count for person_id, day, count in rows}

    def open_slots(
        self,
        provider_ids: Collection[UUID],
        ehr_service_ids: Collection[str],
        location_id: UUID | None,
        span: Span,
        now: datetime,
    ) -> dict[UUID, list[OpenSlot]]:
        """Return the open slots of the providers' EHR, at their own place there and at no other than the location."""
        given = {
            "provider_ids": list(provider_ids),
            "reason_ids": [ANY_REASON, *ehr_service_ids],
            "location_id": location_id,
            "start": _instant(span[0]),
            "end": _instant(span[1]),
            "oldest": now - SLOTS_KEEP,
        }
        rows = self._connection.execute(OPEN_SLOTS, given)
        return {
            provider_id: [
                OpenSlot(start, end, takes_service=bool(fits))
                for start, end, fits in batched(map(int, text.split()), 3, strict=True)
            ]
            for provider_id, text in rows
        }

    def open_slot_at(
        self, provider_id: UUID, start: datetime, ehr_service_id: str, length: timedelta = timedelta()
    ) -> str | None:
        """Return the id of the EHR's open slot that a visit of this service takes when it starts then.

        Of several it is the shortest that is as long as the visit, and without `length` the longest.
        """
        given = {
            "provider_id": provider_id,
            "start": start,
            "reason_ids": [ANY_REASON, ehr_service_id],
            "length": length,
        }
        slot_id: str | None = self._connection.execute(OPEN_SLOT_AT, given).scalar_one_or_none()
        return slot_id

    def rooms(self, location_id: UUID | None, span: Span, now: datetime, own: Own) -> list[list[Span]]:
        """Return for each room that is in use (at the location) when it is taken within `span`."""
        rows = self._connection.execute(ROOMS, {"location_id": location_id} | _foreign(span, now, own))
        return [_spans(text) for text in rows.scalars()]

    def _json(self, statement: sa.TextClause, **parameters: object) -> Any:
        return json.loads(self._connection.execute(statement, parameters).scalar_one())


def _foreign(span: Span, now: datetime, own: Own) -> dict[str, Any]:
    return {
        "start": _instant(span[0]),
        "end": _instant(span[1]),
        "now": now,
        "hold_id": own.hold_id,
        "appointment_id": own.appointment_id,
    }


def _spans(text: str) -> list[Span]:
    return list(batched(map(int, text.split()), 2, strict=True))


@dataclass(frozen=True, slots=True)
class _Calendar:
    """What is known of an EHR's calendar: up to which day, None for nothing that may be relied on."""

    last: date | None
    slots_read_at: datetime | None


_UNKNOWN = _Calendar(None, None)


def _calendar(system: str, last: str | None, slots_read_at: float | None, *, now: datetime) -> _Calendar:
    read_at = None if slots_read_at is None else datetime.fromtimestamp(slots_read_at, UTC)
    is_stale = TRAITS[system].has_open_slots and (read_at is None or read_at <= now - SLOTS_KEEP)
    return _Calendar(None if is_stale else _day(last), read_at)


def _provider(row: Sequence[Any], calendar: _Calendar) -> Provider:
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
        modalities=EITHER if TRAITS[row[10]].has_open_slots else frozenset(row[11]),
        has_mapping=row[12] is not None,
        synced_through=calendar.last,
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
