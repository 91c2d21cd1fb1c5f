"""The fault table: whatever goes wrong in whichever write, one visit stands or none, and both sides agree which."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from moonlit.booking.answers import AppointmentAnswer
from moonlit.booking.errors import BookingRefused, SlotTaken
from moonlit.booking.ledger import OPEN
from moonlit.booking.patients import PatientForm
from moonlit.ehr import http
from tests.fixtures_athena import make_patient
from tests.fixtures_booking import TEN
from tests.fixtures_ehrs import HOUR, make_schedule
from tests.fixtures_house import House, offered
from tests.fixtures_intakeq import make_client

SLOW, PATIENCE = 0.5, 0.2  # Seconds: how long a delayed request takes, and how long an answer is waited for.
CARD = {"insurance": {"member_id": "W-000142", "group_number": None}}
FAULTS: list[dict[str, Any]] = [
    {"kind": "delay", "seconds": SLOW},
    {"kind": "delay_after", "seconds": SLOW},
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "error_before", "status": 500},
    {"kind": "error_after", "status": 500},
    {"kind": "error_before", "status": 503},
    {"kind": "error_before", "status": 400},
    {"kind": "error_before", "status": 401},
    {"kind": "error_before", "status": 403},
    {"kind": "error_before", "status": 404},
    {"kind": "error_before", "status": 409},
    {"kind": "429"},
    {"kind": "429", "retry_after": 90},
    {"kind": "html"},
    {"kind": "html_after"},
    {"kind": "html", "status": 404},
    {"kind": "gateway"},
    {"kind": "gateway_after"},
]


def says_gone(fault: dict[str, Any]) -> bool:
    """Tell whether the EHR itself, not some gateway, says of a slot that it is not open any more."""
    return fault["kind"] == "error_before" and fault["status"] in (404, 409)


def name_of(fault: dict[str, Any]) -> str:
    return "-".join(str(value) for key, value in fault.items() if key != "seconds")


def person(number: int) -> PatientForm:
    """Return another patient for each number, of whom nobody is taken for another."""
    mail, phone = f"pat{number}.north@example.org", f"801555{1000 + number}"
    return PatientForm(f"Pat{number}", "North", date(1990, 1, 1 + number), mail, phone, "UT", None)


@dataclass
class Flow:
    """One write that goes wrong: what was asked, on a day of its own, by a patient of its own."""

    house: House
    number: int
    fault: dict[str, Any]
    answers: list[str] = field(default_factory=list)

    @property
    def start(self) -> datetime:
        """Return ten o'clock of a working day that no other flow uses."""
        return TEN + timedelta(days=7 * (self.number // 5) + (0, 1, 4, 5, 6)[self.number % 5])

    @property
    def later(self) -> datetime:
        return self.start + 3 * HOUR

    def spoil(self, call: str) -> None:
        self.house.side.fail(call, **self.fault)

    def book(self, **changes: Any) -> UUID | None:
        """Book, check that the answer is true, and return the visit's id, None when it was refused."""
        return self._asked(lambda: self.house.book(self.start, patient=person(self.number), **changes))

    def move(self, appointment_id: UUID | None) -> None:
        assert appointment_id
        self._asked(lambda: self.house.move(appointment_id, self.later))

    def cancel(self, appointment_id: UUID | None) -> None:
        assert appointment_id
        self._asked(lambda: self.house.cancel(appointment_id))

    def end(self) -> None:
        """Let requests that were delayed arrive, and everything work again."""
        if "delay" in self.fault["kind"]:
            time.sleep(SLOW - PATIENCE + 0.1)
        self.house.side.server.fail()

    def _asked(self, act: Callable[[], AppointmentAnswer]) -> UUID | None:
        try:
            answer = act()
        except BookingRefused as refused:
            self._refused(refused)
            return None
        self.answers.append(answer.status)
        if answer.status == "confirmed":  # Only what the EHR has is called so.
            assert (answer.ehr.external_id, answer.start) in [(one.external_id, one.start) for one in self.standing()]
        elif answer.status == "pending":
            assert any(state in OPEN for _, state in self.house.writes(answer.appointment_id))
        elif answer.status == "cancelled":
            assert self.house.claims(answer.appointment_id) == set()
        return answer.appointment_id

    def _refused(self, refused: BookingRefused) -> None:
        """Check that a refusal is true: the visit is not to be, or where it was."""
        self.answers.append(refused.slug)
        assert offered(refused)
        visit = self.visit()
        assert visit["status"] == "failed" or (visit["status"], visit["start"]) == ("confirmed", self.start)

    def visit(self) -> Any:
        (visit,) = self.house.rows(
            "select a.* from appointments a join patients p on p.id = a.patient_id where first_name = :name",
            name=f"Pat{self.number}",
        )
        return visit

    def standing(self) -> list[Any]:
        """Return the flow's visits in the EHR: those on its day."""
        return [one for one in self.house.side.standing() if one.start.date() == self.start.date()]

    def agrees(self) -> None:
        """Check that both sides say the same, and that nothing is left of what is not there."""
        visit, standing = self.visit(), self.standing()
        assert visit["status"] in ("confirmed", "failed", "cancelled")
        assert [one.start for one in standing] == ([visit["start"]] if visit["status"] == "confirmed" else [])
        owners = [self.house.owners(start) for start in (self.start, self.later)]
        expected = [
            {visit["id"]} if one.start == start else set() for start in (self.start, self.later) for one in standing
        ]
        assert owners == (expected or [set(), set()])
        assert {state for _, state in self.house.writes(visit["id"])} <= {"confirmed", "failed"}


def book(flow: Flow) -> None:
    flow.spoil("book")
    flow.book()


def client(flow: Flow) -> None:
    flow.spoil("client")
    flow.book()


def cancel(flow: Flow) -> None:
    appointment_id = flow.book()
    flow.spoil("cancel")
    flow.cancel(appointment_id)
    assert flow.answers[-1] == "cancelled"


def reschedule(flow: Flow) -> None:
    appointment_id = flow.book()
    flow.spoil("reschedule")
    flow.move(appointment_id)


def freeze(flow: Flow) -> None:
    flow.spoil("freeze")
    if says_gone(flow.fault):
        with pytest.raises(SlotTaken):
            flow.house.hold(flow.start, caller=str(flow.number))
        hold_id = None
    else:
        hold_id = flow.house.hold(flow.start, caller=str(flow.number)).id
    flow.end()
    flow.house.read_slots()
    flow.book(hold_id=hold_id)


def thaw(flow: Flow) -> None:
    hold = flow.house.hold(flow.start, caller=str(flow.number))
    flow.spoil("freeze")
    flow.book(hold_id=hold.id)


def release(flow: Flow) -> None:
    """Give a hold back: nobody booked, so the flow's visit is one that comes afterwards."""
    hold = flow.house.hold(flow.start, caller=str(flow.number))
    flow.spoil("freeze")
    flow.house.drop(hold.id)
    flow.end()
    flow.house.sweep()
    flow.house.read_slots()
    flow.book()


def afterwards(call: str) -> Callable[[Flow], None]:
    """Return the flow of what is set on a visit once it is booked."""

    def flow_of(flow: Flow) -> None:
        flow.book(given=CARD)
        assert flow.answers == ["confirmed"]
        flow.spoil(call)
        flow.house.sweep()

    return flow_of


INTAKEQ: list[Callable[[Flow], None]] = [client, book, reschedule, cancel]
ATHENA = [*INTAKEQ, freeze, thaw, release, *map(afterwards, ("details", "policy", "attach"))]


@pytest.fixture
def impatient(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Return the practice with little patience for answers."""
    monkeypatch.setattr(http, "_ANSWER_SECONDS", PATIENCE)
    return house


def run(house: House, fault: dict[str, Any], flows: list[Callable[[Flow], None]]) -> list[Flow]:
    """Let every write go wrong once, clear up, and look at the end of it."""
    done = [Flow(house, number, fault) for number in range(len(flows))]
    for flow, steps in zip(done, flows, strict=True):
        steps(flow)
        flow.end()
        if fault["kind"] == "429":  # The account is left alone for a while, by all.
            house.clock.advance(seconds=91)
    house.settle()
    assert house.rows(f"select 1 from ehr_writes where state in {(*OPEN, 'watching')}") == []
    for flow in done:
        flow.agrees()
    return done


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
@pytest.mark.parametrize("side", ["intakeq"], indirect=True)
def test_every_fault_of_intakeq_in_every_write(impatient: House, fault: dict[str, Any]) -> None:
    run(impatient, fault, INTAKEQ)


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
@pytest.mark.parametrize("side", ["athena"], indirect=True)
def test_every_fault_of_athenahealth_in_every_write(impatient: House, fault: dict[str, Any]) -> None:
    # Told that a slot is not open any more, nobody thaws it again: only freezing tells such a lie from the truth.
    run(impatient, fault, [flow for flow in ATHENA if flow not in (thaw, release) or not says_gone(fault)])
    assert impatient.athena.frozen() == set()
    assert impatient.rows("select 1 from ehr_freezes") == []


@pytest.mark.parametrize("call", ["book", "reschedule"])
def test_a_slot_that_the_ehr_gave_to_somebody_else_is_told_and_free_of_ours(house: House, call: str) -> None:
    flow = Flow(house, 0, {"kind": "refuse_taken"})
    booked = flow.book() if call == "reschedule" else None
    house.side.take(flow.later if call == "reschedule" else flow.start)
    flow.spoil(call)
    (flow.move(booked) if call == "reschedule" else flow.book())
    assert flow.answers[-1] == "slot-taken"
    flow.end()
    house.settle()
    flow.agrees()


# A mother, in one; a sister, in the other: what the vendors would take for the same person.
@pytest.mark.parametrize("clients", [[make_client(1, DateOfBirth="1960-01-01")]])
@pytest.mark.parametrize("schedule", [make_schedule(patients=[make_patient(firstname="Mara")])])
def test_a_patient_whom_the_ehr_would_merge_with_another_waits_for_staff_who_hear_of_it_at_once(house: House) -> None:
    people = "clients" if house.side.system == "intakeq" else "patients"
    before = house.side.server.state()[people]
    booked = house.book()
    assert booked.status == "pending"
    assert house.told() == ["staff_alert.client_merged"]
    for _ in range(20):
        house.sweep()
    assert house.side.server.state()[people] == before
    assert (house.side.standing(), house.told()) == ([], ["staff_alert.client_merged"])
    house.clock.instant = TEN
    house.settle()
    visit = house.visit(booked.appointment_id)
    assert (visit["status"], visit["status_reason"]) == ("failed", "not_written_in_time")
    assert house.owners() == set()


def test_a_visit_that_begins_before_it_could_be_written_is_told_to_staff_once_before_and_once_after(
    house: House,
) -> None:
    house.side.fail("book", "429", times=None)
    booked = house.book()
    house.clock.instant = TEN - timedelta(minutes=50)
    for _ in range(3):
        house.sweep()
    assert house.told() == ["staff_alert.book_not_written_yet"]
    house.clock.instant = TEN
    for _ in range(3):
        house.sweep()
    assert sorted(house.told()) == [
        "booking_released",
        "staff_alert.book_not_written_yet",
        "staff_alert.not_written_in_time",
    ]
    assert house.visit(booked.appointment_id)["status"] == "failed"


def test_what_waited_for_the_budget_goes_out_when_it_returns(house: House) -> None:
    house.side.fail("book", "429", times=3, retry_after=120)
    booked = [house.book(TEN + timedelta(days=day), patient=person(day)) for day in (0, 1, 4)]
    assert [each.status for each in booked] == ["pending"] * 3
    house.clock.advance(seconds=60)
    assert house.sweeper.sweep()["sent"] == 0
    house.clock.advance(seconds=60)
    assert house.sweeper.sweep()["sent"] == 3
    assert [house.visit(each.appointment_id)["status"] for each in booked] == ["confirmed"] * 3
    assert len(house.side.standing()) == 3
