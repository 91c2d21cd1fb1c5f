"""Two nights: which visits the practice already holds, what is deleted, and what changes in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from functools import cache
from itertools import islice
from typing import Any

from local.demo_data.ids import AS_OF, in_days, local, text, uid
from local.demo_data.payers import READY
from local.demo_data.people import Client, clients
from local.demo_data.practice import DEFAULTS, INTAKE, PROVIDERS, instance_id
from local.demo_data.visits import DEPARTED, Visit, first_night

_HOLDS = 8


@dataclass(frozen=True, slots=True)
class Held:
    """A visit that the practice holds before the first night, as it holds it: without link and place."""

    visit: Visit
    start: datetime
    instance: str
    provider_id: str | None

    def row(self) -> dict[str, Any]:
        """Return the clinic file's row."""
        shown = replace(self.visit, deleted=False).expected(AS_OF)
        return {
            "id": uid("appointment", self.visit.number), "patient_id": shown["patientId"],
            "provider_id": self.provider_id, "payer_id": READY.id, "service_instance_id": self.instance,
            "start": text(self.start), "end": text(self.start + (self.visit.end - self.visit.start)),
            "status": shown["status"], "system": "intakeq", "external_id": self.visit.id,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happens in the EHR between the nights; `visit` is how the visit stands afterwards."""

    at: datetime
    event: str
    visit: Visit


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that happens.

    Attributes:
        visits: The account on the first night; the deleted ones are among them.
        held: What the clinic file has of them, by the visit's number.
    """

    visits: tuple[Visit, ...]
    held: dict[int, Held]
    changes: tuple[Change, ...]

    def stored(self, *, second_night: bool) -> list[Visit]:
        """Return the visits that belong to a patient and that a correct system has stored after a night."""
        latest = {visit.number: visit for visit in self.visits}
        if second_night:
            latest |= {change.visit.number: change.visit for change in self.changes}
        return [
            visit
            for visit in latest.values()
            if visit.client.patient is not None and (visit.in_window or visit.number in self.held)
        ]


@cache
def story() -> Story:
    """Return the story of the demo."""
    visits = first_night()
    coming = [visit for visit in visits if visit.client.patient is not None and visit.status == "Confirmed"]
    late = [visit for visit in coming if visit.in_window and visit.start > AS_OF + timedelta(days=60)]
    deleted = late[_HOLDS]
    visits = [replace(visit, deleted=visit is deleted) for visit in visits]
    held = [*_held(late[:_HOLDS]), _as_it_is(replace(deleted, deleted=True)), *map(_as_it_is, _beyond(coming))]
    return Story(tuple(visits), {one.visit.number: one for one in held}, tuple(_changes(visits)))


def _beyond(visits: list[Visit]) -> list[Visit]:
    """Return a past and a coming visit that no sync reads, and that must therefore stay as they are."""
    outside = [visit for visit in visits if not visit.in_window and visit.provider is not DEPARTED]
    return [min(outside, key=lambda visit: visit.start), max(outside, key=lambda visit: visit.start)]


def _held(visits: list[Visit]) -> Iterator[Held]:
    """Yield visits that the clinic file knows a little wrongly: an old time, no provider, an instance of no payer."""
    for position, visit in enumerate(visits):
        held = _as_it_is(visit)
        if position % 4 == 0:
            held = replace(held, start=visit.start - timedelta(hours=1))
        if position % 4 == 1:
            held = replace(held, provider_id=None)
        if visit.service is INTAKE:
            held = replace(held, instance=instance_id(READY.id, INTAKE, 1))
        if position == _HOLDS - 1:
            held = replace(held, instance=instance_id(None, INTAKE, 0))
        yield held


def _as_it_is(visit: Visit) -> Held:
    provider_id = visit.expected(AS_OF)["providerId"]
    return Held(visit, visit.start, instance_id(READY.id, visit.service), provider_id)


def _changes(visits: list[Visit]) -> Iterator[Change]:
    minutes = iter(range(60, 400, 7))  # An hour in which the account stands still, to look around in.

    def change(event: str, visit: Visit, **after: Any) -> Change:
        at = AS_OF + timedelta(minutes=next(minutes))
        return Change(at, event, replace(visit, **after, modified=at))

    ours = [visit for visit in visits if visit.client.patient is not None and visit.in_window and not visit.deleted]
    soon = [visit for visit in ours if AS_OF + timedelta(days=30) < visit.start < AS_OF + timedelta(days=60)]
    certain = (visit for visit in soon if visit.status == "Confirmed")
    for visit in islice(certain, 4):
        yield change("AppointmentRescheduled", visit, start=visit.start + timedelta(days=1, minutes=15))
    for visit in islice(certain, 3):
        yield change("AppointmentCanceled", visit, status="Canceled")
    for visit in islice(certain, 2):
        yield change("AppointmentDeleted", visit, deleted=True)
    asked = next(visit for visit in soon if visit.status == "WaitingConfirmation")
    yield change("AppointmentConfirmed", asked, status="Confirmed")
    past = (visit for visit in ours if AS_OF - timedelta(days=30) < visit.start < AS_OF - timedelta(days=1))
    missed = next(visit for visit in past if visit.status == "Confirmed")
    yield change("AppointmentMissed", missed, status="Missed")
    for number, client in enumerate(_callers()):
        yield change("AppointmentCreated", _new(number, client))


def _callers() -> list[Client]:
    """Return five patients who book in the EHR, and a stranger."""
    everyone = clients()
    return [*(everyone[number] for number in (0, 3, 8, 12, 31)), everyone[-1]]


def _new(number: int, client: Client) -> Visit:
    start = local(in_days(20 + number), time(10, 0))
    return Visit(5000 + number, client, PROVIDERS[number % 3], DEFAULTS[number % 3], start, "Confirmed", AS_OF)
