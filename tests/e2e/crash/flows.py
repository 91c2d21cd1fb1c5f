"""What a client does, what may become of it when the process dies, and what the client hears who asks again.

An outcome is a word: `nothing`, `first` (the visit stands in the flow's first slot, here and there alike), `second`,
`failed` and `cancelled` (it stands nowhere, and no time is claimed). Anything else is a contradiction, told in words.
A visit that arrives late in the EHR may be taken over from its feed until the sweeper has cancelled it: its time is taken
as long as the EHR says so, and what was told about the booking stays as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from tests.e2e.crash.office import Office
from tests.e2e.crash.practice import SYSTEMS, Slot, booking, hold
from tests.e2e.crash.snapshot import STANDING, Here, Snapshot
from tests.e2e.site import Answer

CLAIMS = 2  # The provider's and the patient's time.


@dataclass
class Flow(ABC):
    """One client's request.

    Attributes:
        system: The EHR in which it happens.
        slots: The one that it is about; of a move, from where and to where.
        told: Which visit the last answer showed: its id, status and id in the EHR.
    """

    name: ClassVar[str]

    office: Office
    system: str
    number: int = field(init=False)
    slots: tuple[Slot, ...] = field(init=False)
    told: tuple[str, ...] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.number = self.office.number()
        self.slots = self.choose()

    def choose(self) -> tuple[Slot, ...]:
        return (self.office.slot(self.office.provider(self.system)),)

    def prepare(self) -> None:  # noqa: B027  # Most have nothing to prepare.
        """Do what has to be done before the request."""

    @abstractmethod
    def send(self, headers: Mapping[str, str]) -> Answer:
        """Send the request; each time it is the same."""

    @abstractmethod
    def expected(self, death: Snapshot) -> str:
        """Return the outcome that the sweeper has to bring about, by what stood where when the process was dead."""

    @abstractmethod
    def repeat(self, outcome: str) -> str:
        """Repeat the request after that outcome; return the outcome that its answer promises."""

    def outcome(self, seen: Snapshot) -> str:
        """Return what stands where; see above."""
        here, there = seen.here.get(self.patient, ()), seen.there.get(self.patient, ())
        standing = [visit for visit in here if visit.status in STANDING]
        if any(visit.claims for visit in here if visit not in standing) or len(standing) > 1:
            return f"contradiction here: {here}"
        if not standing:
            booked = [visit.status for visit in here if visit.write_state]  # Not what a sync took over and saw end.
            return f"contradiction: {here}, there {there}" if there else (booked[-1] if booked else "nothing")
        (visit,) = standing
        same = [(each.slot, each.external_id) for each in there] == [(visit.slot, visit.external_id)]
        if not same or visit.status != "confirmed" or visit.claims != CLAIMS or visit.slot not in self.slots:
            return f"contradiction: here {here}, there {there}"
        if self.told not in (None, (visit.id, visit.status, visit.external_id)):
            return f"contradiction: told {self.told}, here {here}"
        return ("first", "second")[self.slots.index(visit.slot)]

    @property
    def patient(self) -> str:
        return f"Pat{self.number}"

    def book(self, slot: Slot, key: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        body = booking(slot, self.number, **more)
        return self.office.ask("POST", "/appointments", body, {"Idempotency-Key": key, **(headers or {})})

    def visit(self, seen: Snapshot) -> Here | None:
        """Return the last visit of the patient as it is here."""
        return next(reversed(seen.here.get(self.patient, ())), None)

    def is_there(self, seen: Snapshot, slot: Slot) -> bool:
        return any(visit.slot == slot for visit in seen.there.get(self.patient, ()))


class Booking(Flow):
    """A new patient books."""

    name = "book"

    def send(self, headers: Mapping[str, str]) -> Answer:
        return self.book(self.slots[0], f"key-{self.number}", headers)

    def expected(self, death: Snapshot) -> str:
        visit = self.visit(death)
        if visit is None:
            return "nothing"
        # What the EHR has taken is never lost; what may have been sent is not sent a second time.
        return "first" if self.is_there(death, self.slots[0]) or visit.write_state == "waiting" else "failed"

    def repeat(self, outcome: str) -> str:
        answer = self.send({})
        if outcome == "failed":
            assert answer.status == 409, answer
            # The slot is free again, so nobody is told that it is taken.
            offered = self.slots[0].start in {
                datetime.fromisoformat(each["start"]) for each in answer.body["alternatives"]
            }
            assert (offered, answer.body["type"].rpartition("/")[2]) == (True, "ehr-refused"), answer
            answer = self.book(self.slots[0], f"other-key-{self.number}")  # So the slot was really free.
        assert answer.status == 201, answer
        self.told = shown(answer)
        return "first"


class HeldBooking(Booking):
    """A new patient books what they have held."""

    name = "book held"
    hold_id = ""

    def prepare(self) -> None:
        self.hold_id = held(self.office, self.slots[0])

    def book(self, slot: Slot, key: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        return super().book(slot, key, headers, holdId=self.hold_id, **more)


class FirstBooking(Booking):
    """A new patient books, and nobody has athenahealth's token; one at a time, because all share it."""

    name = "book without token"

    def send(self, headers: Mapping[str, str]) -> Answer:
        if headers:
            self.office.forget_token()
        return super().send(headers)


class Hold(Flow):
    """Somebody holds a slot."""

    name = "hold"

    def send(self, headers: Mapping[str, str]) -> Answer:
        return self.office.ask("POST", "/holds", hold(self.slots[0]), headers)

    def expected(self, death: Snapshot) -> str:  # noqa: ARG002
        return "nothing"

    def repeat(self, outcome: str) -> str:  # noqa: ARG002
        answer = self.send({})
        assert answer.status == 201, answer
        known = self.office.rows("select id from appointment_holds where id = :id", id=answer.body["holdId"])
        assert len(known) == 1
        return "nothing"


class Drop(Flow):
    """Somebody gives a held slot back."""

    name = "drop hold"
    hold_id = ""

    def prepare(self) -> None:
        self.hold_id = held(self.office, self.slots[0])

    def send(self, headers: Mapping[str, str]) -> Answer:
        return self.office.ask("DELETE", f"/holds/{self.hold_id}", headers=headers)

    def expected(self, death: Snapshot) -> str:  # noqa: ARG002
        return "nothing"

    def repeat(self, outcome: str) -> str:  # noqa: ARG002
        answer = self.send({})
        assert answer.status == 204, answer
        return "nothing"


class Change(Flow):
    """A patient changes the visit that they have booked."""

    appointment_id = ""
    token = ""

    def prepare(self) -> None:
        answer = self.book(self.slots[0], f"key-{self.number}")
        assert (answer.status, answer.body["status"]) == (201, "confirmed"), answer
        self.appointment_id, self.token = answer.body["appointmentId"], answer.body["manageToken"]

    def change(self, how: str, body: Any, headers: Mapping[str, str]) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return self.office.ask("POST", f"/appointments/{self.appointment_id}/{how}", body, headers)


class Cancelling(Change):
    """A patient cancels."""

    name = "cancel"

    def send(self, headers: Mapping[str, str]) -> Answer:
        return self.change("cancel", {}, headers)

    def expected(self, death: Snapshot) -> str:
        visit = self.visit(death)
        assert visit
        return "cancelled" if visit.status == "cancelled" else "first"

    def repeat(self, outcome: str) -> str:  # noqa: ARG002
        answer = self.send({})
        assert (answer.status, answer.body["status"]) == (200, "cancelled"), answer
        return "cancelled"


class Rescheduling(Change):
    """A patient moves the visit to another time of the same provider."""

    name = "reschedule"

    def choose(self) -> tuple[Slot, ...]:
        provider = self.office.provider(self.system)
        return self.office.slot(provider), self.office.slot(provider)

    def send(self, headers: Mapping[str, str]) -> Answer:
        wish = self.slots[1]
        return self.change(
            "reschedule", {"start": wish.start.isoformat(), "providerId": str(wish.provider.id)}, headers
        )

    def expected(self, death: Snapshot) -> str:
        visit = self.visit(death)
        assert visit
        return "second" if visit.is_moved else "first"

    def repeat(self, outcome: str) -> str:  # noqa: ARG002
        answer = self.send({})
        assert (answer.status, answer.body["status"]) == (200, "confirmed"), answer
        assert answer.body["start"] == self.slots[1].start.isoformat()
        assert answer.body["provider"]["id"] == str(self.slots[1].provider.id)
        self.told = shown(answer)
        return "second"


class Moving(Rescheduling):
    """A patient moves the visit to another provider: it is booked there, and then cancelled where it was."""

    name = "move"

    def choose(self) -> tuple[Slot, ...]:
        return tuple(self.office.slot(self.office.provider(self.system)) for _ in range(2))

    def expected(self, death: Snapshot) -> str:
        visit = self.visit(death)
        assert visit
        if not visit.is_moved:
            return "first"
        # Whatever is done to the visit after the EHR has taken it there: it is there.
        return "second" if self.is_there(death, self.slots[1]) or visit.write_state == "waiting" else "first"


class Transferring(Moving):
    """A patient moves the visit to a provider in the other EHR."""

    name = "transfer"

    def choose(self) -> tuple[Slot, ...]:
        (other,) = set(SYSTEMS) - {self.system}
        return tuple(self.office.slot(self.office.provider(system)) for system in (self.system, other))


def held(office: Office, slot: Slot) -> str:
    """Hold the slot and return the hold's id."""
    answer = office.ask("POST", "/holds", hold(slot))
    assert answer.status == 201, answer
    return str(answer.body["holdId"])


def shown(answer: Answer) -> tuple[str, ...]:
    """Return which visit an answer shows."""
    return answer.body["appointmentId"], answer.body["status"], answer.body["ehr"]["externalId"]
