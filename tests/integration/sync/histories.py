"""Random histories of an IntakeQ account, the webhooks that they make, and what they mean for our visits.

A history is a few clients whose visits staff create, move, cancel, delete and so on. All of it happens on the
simulator's own account. `Meaning` is the model that the product is compared with: it knows the EHR's rows and which of
them we were shown, nothing of how we store them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from local.simulators.intakeq.account import Account
from local.simulators.intakeq.visits import Visits
from local.simulators.intakeq.webhooks import Webhooks
from local.simulators.intakeq.wire import to_ms
from tests.fixtures_intakeq import (
    NOON,
    OTHER_PRACTITIONER,
    PRACTITIONER,
    MovableClock,
    make_account,
    make_client,
    make_visit,
)

STRANGER_PRACTITIONER = "6651f0a9c3d2e4b5a6978812"  # Nobody has mapped that one.
PRACTITIONERS = (PRACTITIONER, OTHER_PRACTITIONER, STRANGER_PRACTITIONER)
BORN = "1988-05-23"
KNOWN_AS = ("number", "number", "address", "nobody", "twins")
ROOMS = (
    None,
    {"Provider": "IntakeQ", "StartUrl": "https://meet.example.org/room"},
    {"Provider": "Zoom", "StartUrl": "https://zoom.example.org/host"},
    {"Provider": "Zoom", "StartUrl": "https://zoom.example.org/host", "JoinUrl": "https://zoom.example.org/join"},
)
LINKS = (None, "https://meet.example.org/room", None, "https://zoom.example.org/join")
PLACES = {"02": "telehealth", "10": "telehealth", "11": "office", "12": "home", "99": None, None: None}
STATUSES = {
    "WaitingConfirmation": "scheduled",
    "Confirmed": "confirmed",
    "Canceled": "cancelled",
    "Declined": "declined",
    "Missed": "no_show",
}
FIRST, LAST = (to_ms(NOON + timedelta(days=days)) for days in (-89, 89))  # Nothing here lies nearer to the edges.


@dataclass(frozen=True)
class Client:
    """A client of the EHR, and how we know them."""

    client_id: int
    known_as: str
    patient_ids: tuple[UUID, ...]

    @property
    def email(self) -> str:
        return f"client{self.client_id}@example.org"

    @property
    def patient_id(self) -> UUID | None:
        """Return whose the client's visits are, None when that cannot be told."""
        return self.patient_ids[0] if len(self.patient_ids) == 1 else None


@dataclass
class Told:
    """A webhook."""

    body: dict[str, Any]

    @property
    def bytes(self) -> bytes:
        return json.dumps(self.body).encode()

    @property
    def row(self) -> dict[str, Any]:
        return dict(self.body["Appointment"])

    @property
    def deletes(self) -> bool:
        return bool(self.body["EventType"] == "AppointmentDeleted")


@dataclass
class Delivery:
    """A webhook that arrives: before, during or after the night. Its message may be lost, or come twice."""

    when: str
    told: Told
    messages: int


class Telling(Webhooks):
    """Keeps webhooks instead of sending them."""

    def __init__(self, practice_id: str) -> None:
        super().__init__(practice_id)
        self.url = "https://hooks.example.org/"
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any], dict[str, Any]]] = asyncio.Queue()

    def take(self) -> list[Told]:
        return [Told(self._waiting.get_nowait()[1]) for _ in range(self._waiting.qsize())]


class Meant(NamedTuple):
    """What a visit has to be here."""

    patient_id: UUID
    practitioner_id: str | None
    start: datetime
    end: datetime
    status: str
    deleted: bool
    link: str | None
    kind: str | None
    claims: frozenset[tuple[str, datetime, datetime]]


@dataclass
class Meaning:
    """What we were shown of each visit, and so which of them are ours.

    A visit is held once we saw it stand, in the window, as a client's whom we know. Of two versions the later one
    counts, whichever comes first; what is deleted stays deleted.
    """

    clients: Mapping[int, Client]
    _seen: dict[str, tuple[bool, int]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)

    def show(self, row: Mapping[str, Any], *, deleted: bool) -> None:
        was_deleted, version = self._seen.get(row["Id"], (False, -1))
        if was_deleted or (not deleted and row["LastModified"] < version):
            return
        self._seen[row["Id"]] = (deleted, row["LastModified"])
        is_known = self.clients[row["ClientId"]].patient_id is not None
        if not deleted and is_known and FIRST <= row["StartDate"] < LAST:
            self.held.add(row["Id"])

    def of(self, row: Mapping[str, Any], *, deleted: bool) -> Meant | None:
        """Return what the row, the last there is of its visit, has to be here; None for no visit."""
        patient_id = self.clients[row["ClientId"]].patient_id
        if row["Id"] not in self.held or patient_id is None:
            return None
        start, end = (datetime.fromtimestamp(row[key] / 1000, UTC) for key in ("StartDate", "EndDate"))
        mapped = row["PractitionerId"] if row["PractitionerId"] != STRANGER_PRACTITIONER else None
        status = "cancelled" if deleted else STATUSES[row["Status"]]
        resources = ("patient", "person") if mapped else ("patient",)
        claims = frozenset((kind, start, end) for kind in resources if status in ("scheduled", "confirmed"))
        return Meant(
            patient_id=patient_id,
            practitioner_id=mapped,
            start=start,
            end=end,
            status=status,
            deleted=deleted,
            link=LINKS[ROOMS.index(row["TelehealthInfo"])],
            kind=PLACES[row["PlaceOfService"]],
            claims=claims,
        )


class History:
    """One random history; the same seed and number make the same one."""

    def __init__(self, seed: int, number: int, *, is_known_before: bool) -> None:
        self.number = number
        self._is_known_before = is_known_before  # A night has been before it.
        self._draw = random.Random(f"{seed}/{number}")  # noqa: S311  # To be repeatable is its use.
        kinds = ["number", *self._draw.sample(KNOWN_AS, 2)]
        self.clients = [
            Client(
                1000 + 10 * number + place, kind, tuple(uuid4() for _ in range({"twins": 2, "nobody": 0}.get(kind, 1)))
            )
            for place, kind in enumerate(kinds)
        ]
        self.before = [self._file_row(place) for place in range(self._draw.choice((0, 1, 2)))]
        self.told: list[Told] = []
        self._ties: set[str] = set()
        self._made = len(self.before)

    # What happens in the EHR.

    def happen(self, calendar: Visits, account: Account, telling: Telling, clock: MovableClock) -> None:
        """Let staff do their work."""
        if not self._standing(account):
            self._create(calendar)
            self.told += telling.take()
        for _ in range(self._draw.randint(2, 5)):
            if self._draw.random() < 0.7:
                clock.advance(seconds=self._draw.randint(0, 3))
            self._change(calendar, account, telling)
            self.told += telling.take()

    def rows(self, account: Account) -> list[tuple[dict[str, Any], bool]]:
        """Return each visit as the EHR has it now, and whether it is deleted there."""
        ours = {client.client_id for client in self.clients}
        both = ((account.appointments, False), (account.deleted, True))
        return [(row, gone) for kept, gone in both for row in kept.values() if row["ClientId"] in ours]

    def _change(self, calendar: Visits, account: Account, telling: Telling) -> None:
        standing = self._standing(account)
        if not standing:
            self._create(calendar)
            return
        row = self._draw.choice(standing)
        choices: list[Callable[[], object]] = [
            lambda: self._create(calendar),
            lambda: calendar.staff_updates(row["Id"], {"Status": "Confirmed"}),
            lambda: calendar.staff_updates(row["Id"], {"StartDate": self._start()}),
            lambda: calendar.staff_updates(row["Id"], {"StartDate": self._start()}),
            lambda: calendar.staff_updates(row["Id"], {"StartDate": self._start(), "Status": "Confirmed"}),
            lambda: calendar.staff_updates(row["Id"], {"Status": "Canceled"}),
            lambda: calendar.staff_updates(row["Id"], {"Status": "Declined"}),
            lambda: calendar.staff_updates(row["Id"], {"Status": "Missed"}),
            lambda: calendar.staff_deletes(row["Id"]),
            lambda: calendar.staff_deletes(row["Id"]),
            lambda: self._give_to_another(calendar, row),
            lambda: calendar.staff_updates(row["Id"], {"PractitionerId": self._draw.choice(PRACTITIONERS)}),
            lambda: calendar.staff_updates(row["Id"], self._place()),
        ]
        if row["LastModified"] >= to_ms(NOON):  # The EHR looks for changes and deletions by it.
            choices.append(lambda: self._at_the_same_instant(calendar, telling, row))
        self._draw.choice(choices)()

    def _create(self, calendar: Visits, start: int | None = None, client: Client | None = None) -> None:
        calendar.staff_creates({
            "Id": self._id(),
            "StartDate": start or self._start(),
            "ClientId": (client or self._draw.choice(self.clients)).client_id,
            "Status": self._draw.choice(("Confirmed", "WaitingConfirmation")),
            "PractitionerId": self._draw.choice(PRACTITIONERS),
            **self._place(),
        })  # fmt: skip

    def _give_to_another(self, calendar: Visits, row: Mapping[str, Any]) -> None:
        calendar.staff_deletes(row["Id"])
        others = [client for client in self.clients if client.client_id != row["ClientId"]]
        self._create(calendar, row["StartDate"], self._draw.choice(others))

    def _at_the_same_instant(self, calendar: Visits, telling: Telling, row: Mapping[str, Any]) -> None:
        """Change or delete a visit without a new version: versions are times, and two things may happen at once."""
        version = row["LastModified"]
        if self._draw.random() < 0.5:
            after = calendar.staff_deletes(row["Id"])
        else:
            after = calendar.staff_updates(row["Id"], {"StartDate": self._start()})
            self._ties.add(row["Id"])
        after["LastModified"] = version
        for told in telling.take():
            told.body["Appointment"]["LastModified"] = version
            self.told.append(told)

    def _standing(self, account: Account) -> list[dict[str, Any]]:
        return [row for row, gone in self.rows(account) if not gone]

    def _start(self) -> int:
        days = self._draw.randint(1, 40)
        if self._is_known_before and self._draw.random() < 0.1:
            days = 120  # Beyond the window.
        return to_ms(NOON + timedelta(days=days, minutes=15 * self._draw.randint(0, 20)))

    def _place(self) -> dict[str, Any]:
        code = self._draw.choice(list(PLACES))
        return {"PlaceOfService": code, "LocationName": f"Place {code}", "TelehealthInfo": self._draw.choice(ROOMS)}

    def _id(self) -> str:
        self._made += 1
        return f"{self.number:020x}{self._made:04x}"

    def _file_row(self, place: int) -> dict[str, Any]:
        client = self._draw.choice(self.clients)
        row = make_visit(
            0,
            NOON,
            Id=f"{self.number:020x}{place + 1:04x}",
            ClientId=client.client_id,
            ClientEmail=client.email,
            PractitionerId=self._draw.choice(PRACTITIONERS),
            **self._place(),
        )
        shift = self._start() - row["StartDate"]
        return row | {key: row[key] + shift for key in ("StartDate", "EndDate")}

    # What of it is told, and when.

    def deliveries(self) -> list[Delivery]:
        """Return the webhooks that arrive, in their order: some are lost, some come twice, most come out of order."""
        spread = self._draw.choice((0, 2, 100))
        arriving: list[tuple[float, Delivery]] = []
        for place, told in enumerate(self.told):
            if self._draw.random() >= 0.3:
                times = self._draw.choice((1, 1, 1, 2))
                arriving += [(place + self._draw.uniform(0, spread), self._delivery(told)) for _ in range(times)]
        return [delivery for _, delivery in sorted(arriving, key=lambda each: each[0])]

    def _delivery(self, told: Told) -> Delivery:
        when = self._draw.choices(("before", "during", "between", "after"), (70, 10, 10, 10))[0]
        if told.row["Id"] in self._ties:
            when = "before"  # Nothing tells which of two equal versions is the later one but a pull after both.
        return Delivery(when, told, self._draw.choice((0, 1, 1, 1, 1, 1, 1, 2)))

    def __str__(self) -> str:
        lines = [f"  {told.body['EventType']} {told.row['Id'][-4:]} v{told.row['LastModified']}" for told in self.told]
        return "\n".join([f"history {self.number}, {[client.known_as for client in self.clients]}", *lines])


def account_file(histories: list[History]) -> dict[str, Any]:
    """Return the EHR's account before any of the histories begins."""
    account = make_account()
    account["settings"]["Practitioners"].append(
        {"Id": STRANGER_PRACTITIONER, "CompleteName": "Ada Moss", "Email": "ada.moss@example.org"}
    )
    clients = [
        make_client(client.client_id, Email=client.email, DateOfBirth=BORN)
        for history in histories
        for client in history.clients
    ]
    return account | {"clients": clients, "appointments": [row for history in histories for row in history.before]}
