"""Random practices for the oracle, around days on which clocks change, and a store in memory that shows them."""

# ruff: noqa: ARG002  # The store in memory answers whatever it is asked about what was drawn.

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID

from moonlit.availability import slots
from moonlit.availability.hours import Hours
from moonlit.availability.hours import Span as Seconds
from moonlit.availability.store import Availability, Facts, Own, Service
from moonlit.availability.use_cases import Request
from moonlit.payers.rules import Contract, Payer, Provider, Supervision
from tests.unit.availability.oracle import Case, OpenSlot, Person, Span, Term, Window, wall

RESIDENT, ATTENDING, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
NAMES = {RESIDENT: "resident", ATTENDING: "attending"}
PAYER = Payer(UUID(int=4), "Cedar Health", "private", "approved")
SERVICE_ID = UUID(int=5)

# A skipped and a repeated hour, offsets of half and of three quarter hours, changes by half an hour and by two, at
# midnight and across it, no change at all, and both ends of the calendar.
DAYS_OF_CHANGE = {
    "Africa/Cairo": [date(2026, 4, 24), date(2026, 10, 30)],
    "America/Denver": [date(2026, 3, 8), date(2026, 11, 1)],
    "America/Havana": [date(2026, 3, 8), date(2026, 11, 1)],
    "America/St_Johns": [date(2026, 3, 8), date(2026, 11, 1)],
    "Antarctica/Troll": [date(2026, 3, 29), date(2026, 10, 25)],
    "Asia/Beirut": [date(2026, 3, 29), date(2026, 10, 25)],
    "Asia/Kathmandu": [date(2026, 6, 1)],
    "Asia/Kolkata": [date(2026, 6, 1)],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],
    "Pacific/Chatham": [date(2026, 4, 5), date(2026, 9, 27)],
    "Pacific/Kiritimati": [date(2026, 6, 1)],
    "Pacific/Midway": [date(2026, 6, 1)],
}
FAR_ZONES = ["Pacific/Kiritimati", "Pacific/Midway", "UTC"]


def noon(day: date) -> int:
    return int(datetime.combine(day, datetime.min.time(), UTC).timestamp()) // 60 + 720


def scene(random: Random, zone: str) -> Case:
    """Return a question near a day of change in the zone, whose answer is in most cases not empty."""
    change = random.choice(DAYS_OF_CHANGE[zone])
    first = change - timedelta(days=random.randint(0, 1))
    zones = [zone, zone, zone, *FAR_ZONES]
    return Case(
        practice_zone=random.choice(zones),
        asked_zone=random.choice(zones),
        resident=_person(random, zone, change, may_be_supervised=True),
        attending=_person(random, random.choice([*zones, zone, zone, zone]), change, may_be_supervised=False),
        length=random.choice([5, 15, 15, 30, 30, 30, 45, 60, 150, 1440]),
        before=random.choice([0, 0, 5, 10, 45]),
        after=random.choice([0, 0, 5, 10, 45]),
        grid=random.choice([5, 10, 15, 20, 25, 30, 60]),
        now=datetime.fromtimestamp(noon(first) * 60 - random.randint(0, 200_000), UTC),
        notice=random.choice([0, 30, 120, 120, 600]),
        is_staff=random.random() < 0.2,
        horizon_days=random.choice([1, 2, 3, *[9] * 6]),
        rooms=[_spans(random, change, 3) for _ in range(random.choice([0, 1, 2, 2, 2]))]
        if random.random() < 0.25
        else None,
        first=first,
        last=first + timedelta(days=random.randint(0, 1)),
    )


def _person(random: Random, zone: str, change: date, *, may_be_supervised: bool) -> Person:
    busy = _spans(random, change, 3)
    supervised = _term(random, change) if may_be_supervised and random.random() < 0.6 else None
    offsets = random.choice([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1, 2], [-1, 1], [-2, 1, 0, 0]])
    return Person(
        zone=zone,
        windows=[_window(random, zone, change, offset) for offset in offsets],
        busy=busy,
        time_off=_spans(random, change, 1),
        visits=[start for start, _ in busy],
        cap=random.choice([None] * 12 + [0, 1, 1, 2, 2, 3]),
        synced_through=change + timedelta(days=random.choice([0, 1, *[5] * 8])),
        open_slots=[_open_slot(random, change) for _ in range(12)] if random.random() < 0.25 else None,
        contract=None if supervised and random.random() < 0.9 else _term(random, change),
        supervised=supervised,
        co_visit=random.random() < 0.7,
    )


def _window(random: Random, zone: str, change: date, offset: int) -> Window:
    """Return hours of a day that lies so many days after the change; they may reach over midnight, or all day long."""
    day = change + timedelta(days=offset)
    start, hours = random.randrange(0, 1440, 5), random.choice([1, 8, 14, 24, 24, 24])
    first, last = (random.choice([None] * 15 + [day + timedelta(days=n) for n in (-1, 0, 1)]) for _ in range(2))
    end = 1440 if hours == 24 else (start + hours * 60) % 1440
    return Window(random.choice([zone, zone, zone, "America/Denver"]), day.weekday(), start, end, first, last)


def _spans(random: Random, change: date, most: int) -> list[Span]:
    starts = [noon(change) + random.randint(-24 * 60, 36 * 60) for _ in range(random.randint(0, most))]
    return [(start, start + random.randint(1, 200)) for start in starts]


def _open_slot(random: Random, change: date) -> OpenSlot:
    # Often one begins where another ends, and not always on a grid.
    start = noon(change) + random.choice([random.randint(-20, 30) * 30, random.randint(-600, 900)])
    return OpenSlot(start, start + random.choice([15, 30, 60, 300]), takes_service=random.random() < 0.8)


def _term(random: Random, change: date) -> Term:
    first = change + timedelta(days=random.choice([*[-30] * 9, -1, 0, 1]))
    return Term(first, random.choice([*[None] * 9, *(first + timedelta(days=n) for n in (0, 1, 30))]))


def request(case: Case) -> Request:
    return Request(
        payer_id=PAYER.id,
        service_id=SERVICE_ID,
        state=None,
        first=case.first,
        last=case.last,
        zone=case.asked_zone,
        notice_free=case.is_staff,
        with_room=True,
    )


class MemoryStore(Availability):
    """Shows a case as the database would; what the statements make of their parameters is tested on the database."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._people = {RESIDENT: case.resident, ATTENDING: case.attending}

    def facts(self, payer_id: UUID, service_id: UUID | None, now: datetime) -> Facts:
        case, always = self._case, date(2000, 1, 1)
        held = [(who, person.contract) for who, person in self._people.items() if person.contract]
        lent = case.resident.supervised
        return Facts(
            zone=case.practice_zone,
            settings={"min_notice_minutes": case.notice, "horizon_days": case.horizon_days, "grid_minutes": case.grid},
            payer=PAYER,
            service=self._service(),
            # Somebody else without hours keeps the payer accepted.
            contracts=[Contract(OTHER, always, None), *(Contract(who, term.first, term.last) for who, term in held)],
            supervision=[Supervision(RESIDENT, ATTENDING, case.resident.co_visit, lent.first, lent.last)]
            if lent
            else [],
            providers={
                RESIDENT: _provider(RESIDENT, case.resident),
                ATTENDING: _provider(ATTENDING, case.attending),
                OTHER: _provider(OTHER, case.attending),
            },
            zones={RESIDENT: case.resident.zone, ATTENDING: case.attending.zone, OTHER: "UTC"},
            systems=dict.fromkeys([RESIDENT, ATTENDING, OTHER], "any"),
            mappings={},
            slots_read_at={who: now for who, person in self._people.items() if person.open_slots is not None},
        )

    def hours(
        self, provider_ids: Collection[UUID], modality: str, location_id: UUID | None, span: Seconds
    ) -> tuple[dict[UUID, list[Hours]], dict[UUID, list[Seconds]]]:
        hours = {who: [_hours(window) for window in person.windows] for who, person in self._people.items()}
        return hours, {who: _within(person.time_off, span) for who, person in self._people.items()}

    def busy(self, person_ids: Collection[UUID], span: Seconds, now: datetime, own: Own) -> dict[UUID, list[Seconds]]:
        return {who: _within(self._people[who].busy, span) for who in set(person_ids) & self._people.keys()}

    def visits_a_day(
        self, person_ids: Collection[UUID], zone: str, span: Seconds, now: datetime, own: Own
    ) -> dict[tuple[UUID, date], int]:
        counted = Counter(
            (who, wall(start // 60, zone).date())
            for who in set(person_ids) & self._people.keys()
            for start, _ in _within(self._people[who].busy, span)
        )
        return dict(counted)

    def open_slots(
        self,
        provider_ids: Collection[UUID],
        ehr_service_ids: Collection[str],
        location_id: UUID | None,
        span: Seconds,
        now: datetime,
    ) -> dict[UUID, list[slots.OpenSlot]]:
        return {
            who: [
                slots.OpenSlot(slot.start * 60, slot.end * 60, slot.takes_service)
                for slot in self._people[who].open_slots or ()
                if slot.start * 60 < span[1] and slot.end * 60 > span[0]
            ]
            for who in provider_ids
        }

    def rooms(self, location_id: UUID | None, span: Seconds, now: datetime, own: Own) -> list[list[Seconds]]:
        return [_within(taken, span) for taken in self._case.rooms or ()]

    def _service(self) -> Service:
        return Service(
            id=SERVICE_ID,
            name="Follow-up",
            kind="follow_up",
            modality="telehealth",
            duration_minutes=self._case.length,
            buffer_before_minutes=self._case.before,
            buffer_after_minutes=self._case.after,
            min_notice_minutes=None,
            codes=(),
            base_rate=None,
            room_required=self._case.rooms is not None,
            dose_required=False,
        )


def _provider(provider_id: UUID, person: Person) -> Provider:
    return Provider(
        id=provider_id,
        name="P",
        person_id=provider_id,
        states=frozenset(),
        languages=(),
        interpreter_ok=False,
        active=True,
        accepting_new_patients=True,
        max_daily=person.cap,
        modalities=frozenset(),
        has_mapping=True,
        synced_through=person.synced_through,
    )


def _hours(window: Window) -> Hours:
    return Hours(window.weekday, window.start * 60, window.end * 60, window.zone, window.valid_from, window.valid_to)


def _within(spans: Collection[Span], asked: Seconds) -> list[Seconds]:
    """Return what of the minutes overlaps the seconds asked for, as the database would."""
    return [(start * 60, end * 60) for start, end in spans if start * 60 < asked[1] and end * 60 > asked[0]]
