"""The EHR's calendar: some three hundred visits, each with what a correct system stores of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from local.demo_data.ids import AS_OF, ZONE, hexed, in_days, local, text
from local.demo_data.people import Client, clients, patient_id
from local.demo_data.practice import DEFAULTS, INTAKEQ_PROVIDERS, PROVIDERS, Provider, Service

# Days from today: inside the synced window of 90 days to each side, well away from its ends, and outside of it.
_INSIDE = (-76, -48, -19, -6, 6, 12, 41, 70)
_OUTSIDE = (-130, 120)
_WINDOW_DAYS = 90
_SHOWN_STATUS = {
    "WaitingConfirmation": "scheduled",
    "Confirmed": "confirmed",
    "Canceled": "cancelled",
    "Declined": "declined",
    "Missed": "no_show",
}
_KINDS = {"02": "telehealth", "10": "telehealth", "11": "office", "12": "home"}
_PLACES = ("10", "02", "11", "12", None, "10", "99")
DEPARTED = Provider(90, "Somebody Departed")  # A practitioner whom the clinic file does not know.
CAPPED = PROVIDERS[2]


@dataclass(frozen=True, slots=True)
class Visit:
    """One appointment of the EHR.

    Attributes:
        number: Unique; everything that varies from visit to visit derives from it.
        status: In the EHR's words.
        modified: The EHR's version of the row.
        deleted: Deleted in the EHR, whatever the status says.
    """

    number: int
    client: Client
    provider: Provider
    service: Service
    start: datetime
    status: str
    modified: datetime
    deleted: bool = False

    @property
    def id(self) -> str:
        """Its id in the EHR."""
        return hexed(24, "visit", self.number)

    @property
    def end(self) -> datetime:
        """When it ends: the service says how long it lasts."""
        return self.start + timedelta(minutes=self.service.minutes)

    @property
    def in_window(self) -> bool:
        """Whether a sync reads it."""
        return abs((self.start.astimezone(ZONE).date() - AS_OF.astimezone(ZONE).date()).days) < _WINDOW_DAYS

    @property
    def place(self) -> str | None:
        """Its place of service, as the EHR codes it."""
        return _PLACES[self.number % len(_PLACES)]

    def expected(self, now: datetime) -> dict[str, Any]:
        """Return what an export at `now` says of it; only for visits that belong to a patient."""
        status = "cancelled" if self.deleted else _SHOWN_STATUS[self.status]
        if status == "confirmed" and self.end <= now:
            status = "completed"
        return {
            "patientId": patient_id(self.client.patient) if self.client.patient is not None else None,
            "providerId": None if self.provider is DEPARTED else self.provider.id,
            "start": text(self.start),
            "status": status,
            "meetingUrl": self.telehealth[1],
            "locationKind": _KINDS.get(self.place or ""),
        }

    @property
    def telehealth(self) -> tuple[dict[str, Any] | None, str | None]:
        """Return the EHR's telehealth object, and the link in it that a patient may use."""
        room = f"https://video.example/{hexed(10, 'room', self.number)}"
        host = f"{room}?host=1"
        shapes: tuple[tuple[dict[str, Any] | None, str | None], ...] = (
            (None, None),
            ({"Provider": "Zoom", "StartUrl": host, "JoinUrl": room}, room),
            ({"Provider": "IntakeQ", "StartUrl": room}, room),
            ({"Provider": "Zoom", "StartUrl": host}, None),  # Where the host starts the meeting, not for patients.
            ({"Provider": "IntakeQ", "StartUrl": host, "Url": room}, room),
        )
        shape, link = shapes[self.number % len(shapes)]
        details = {"Id": hexed(8, "telehealth", self.number), "Invitation": "Join", "InvitationCode": "31"}
        return (details | shape if shape else None), link


def first_night() -> list[Visit]:
    """Return the account's visits as the first night finds them."""
    visits = []
    for position, client in enumerate(clients()):
        outside = _OUTSIDE if position % 3 == 0 else ()
        for turn, days in enumerate((*_INSIDE, *outside)):
            visits.append(_visit(100 + 20 * position + turn, client, position, turn, days))
    return [*visits, *_full_day(), _tonight()]


def _visit(number: int, client: Client, position: int, turn: int, days: int) -> Visit:
    # Every few clients a day later, so that the weeks that are booked into fill up unevenly.
    day = in_days(days + position % 4)
    quarter = (position * 7 + turn * 5) % 30
    return Visit(
        number=number,
        client=client,
        provider=_provider(client, position, turn),
        service=DEFAULTS[(position + turn) % len(DEFAULTS)],
        start=local(day, time(9 + quarter // 4, 15 * (quarter % 4))),
        status=_status(position * 5 + turn * 7, past=days < 0),
        modified=AS_OF - timedelta(days=3, minutes=number),
    )


def _provider(client: Client, position: int, turn: int) -> Provider:
    if (position + turn) % 23 == 0:
        return DEPARTED
    # Whether a stranger's visit counts towards a daily cap is nobody's business here.
    choice = [provider for provider in INTAKEQ_PROVIDERS if client.patient is not None or provider is not CAPPED]
    return choice[(position + turn * 3) % len(choice)]


def _status(roll: int, *, past: bool) -> str:
    rare = {0: "Canceled", 1: "Missed" if past else "WaitingConfirmation", 2: "Declined"}
    return rare.get(roll % 12, "Confirmed")


def _full_day() -> list[Visit]:
    """Return three visits that fill a capped provider's day, and leave most of its hours free."""
    return [
        Visit(
            number=10 + hour,
            client=clients()[hour],
            provider=CAPPED,
            service=DEFAULTS[1],
            start=local(in_days(9), time(hour, 0)),
            status="Confirmed",
            modified=AS_OF - timedelta(days=2),
        )
        for hour in (9, 11, 14)
    ]


def _tonight() -> Visit:
    """Return a visit that is to come on the first night and over on the second: completed, yet unchanged."""
    return Visit(
        number=30,
        client=clients()[20],
        provider=PROVIDERS[1],
        service=DEFAULTS[1],
        start=AS_OF + timedelta(hours=2),
        status="Confirmed",
        modified=AS_OF - timedelta(days=2),
    )
