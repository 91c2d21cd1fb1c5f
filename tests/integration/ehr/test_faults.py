"""Every fault of the vendor on every call: what the caller is told, and what really happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest

from moonlit.ehr import http
from moonlit.ehr.port import (
    BudgetExhausted,
    ClientDetails,
    Ehr,
    EhrError,
    EhrLockedOut,
    EhrOutcomeUnknown,
    EhrUnavailable,
    Lane,
    NewVisit,
)
from tests.fixtures_intakeq import (
    CLIENT,
    NOON,
    PRACTITIONER,
    SHORT_SERVICE,
    IntakeqServer,
    MovableClock,
    OpenBudget,
    OpenIntakeq,
    StartIntakeq,
    make_account,
    make_visit,
)

TOMORROW = NOON + timedelta(days=1)
ONE = f"{1:024x}"
MARA = ClientDetails("our-id-2", "Mara", "James", "mara@example.org", None, date(2001, 2, 3))

WRITES: dict[str, Callable[[Ehr], object]] = {
    "book": lambda ehr: ehr.book(NewVisit(PRACTITIONER, str(CLIENT), SHORT_SERVICE, "4", TOMORROW), Lane.BOOKING),
    "reschedule": lambda ehr: ehr.reschedule(ONE, TOMORROW, Lane.BOOKING),
    "cancel": lambda ehr: ehr.cancel(ONE, "", Lane.BOOKING),
    "client_for": lambda ehr: ehr.client_for(MARA, Lane.BOOKING),
}
READS: dict[str, Callable[[Ehr], object]] = {
    "changed_since": lambda ehr: ehr.changed_since(NOON.date(), 1, Lane.NIGHTLY),
    "window": lambda ehr: ehr.window(NOON.date(), NOON.date(), 1, Lane.NIGHTLY),
    "deleted": lambda ehr: ehr.deleted(1, Lane.NIGHTLY),
    "visits_of_practitioner": lambda ehr: ehr.visits_of_practitioner(
        PRACTITIONER, NOON.date(), NOON.date(), Lane.BOOKING
    ),
    "visits_of_client": lambda ehr: ehr.visits_of_client("dana", NOON.date(), NOON.date(), Lane.ON_DEMAND),
    "visit": lambda ehr: ehr.visit(ONE, Lane.WEBHOOK),
}
UNKNOWN, AWAY = EhrOutcomeUnknown, EhrUnavailable

# The fault; what a write says; what a read says when it never ends; whether a write had its effect.
FAULTS: list[tuple[dict[str, Any], type[EhrError], type[EhrError], bool]] = [
    ({"kind": "error_before"}, UNKNOWN, AWAY, False),
    ({"kind": "error_before", "status": 503}, UNKNOWN, AWAY, False),
    ({"kind": "error_before", "status": 403}, EhrLockedOut, EhrLockedOut, False),
    ({"kind": "error_before", "status": 408}, UNKNOWN, AWAY, False),
    ({"kind": "error_before", "status": 302}, UNKNOWN, AWAY, False),
    ({"kind": "error_after"}, UNKNOWN, AWAY, True),
    ({"kind": "drop_before"}, UNKNOWN, AWAY, False),
    ({"kind": "drop_after"}, UNKNOWN, AWAY, True),
    ({"kind": "html"}, UNKNOWN, AWAY, False),
    ({"kind": "html", "status": 502}, UNKNOWN, AWAY, False),
    ({"kind": "html", "status": 404}, AWAY, AWAY, False),
    ({"kind": "html_after"}, UNKNOWN, AWAY, True),
    ({"kind": "429"}, BudgetExhausted, BudgetExhausted, False),
]


@dataclass(frozen=True)
class Account:
    server: IntakeqServer
    ehr: Ehr
    budget: OpenBudget

    def content(self) -> Any:
        state = self.server.state()
        visits = [(row["Status"], row["StartDate"]) for row in state["appointments"]]
        return visits, [row["Name"] for row in state["clients"]]


@pytest.fixture
def account(start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq) -> Account:
    server, budget = start_intakeq(make_account(appointments=[make_visit(1, NOON)])), OpenBudget()
    return Account(server, open_intakeq(server, budget), budget)


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(("fault", "error", "_read_error", "has_effect"), FAULTS)
def test_a_write_says_whether_it_may_have_had_an_effect(
    account: Account, call: str, fault: dict[str, Any], error: type[EhrError], _read_error: object, *, has_effect: bool
) -> None:
    before = account.content()
    account.server.fail(*({"method": method, **fault} for method in ("POST", "PUT")))
    with pytest.raises(EhrError) as raised:
        WRITES[call](account.ehr)
    assert raised.type is error
    assert sum(row["method"] != "GET" for row in account.server.requests()) == 1  # A write is never repeated.
    assert (account.content() != before) is has_effect


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("kind", ["delay", "delay_after"])
def test_a_write_waits_no_longer_than_its_process_lives(
    account: Account, open_intakeq: OpenIntakeq, monkeypatch: pytest.MonkeyPatch, call: str, kind: str
) -> None:
    monkeypatch.setattr(http, "_LEAST_FOR_WRITE_SECONDS", 0)
    hurried = open_intakeq(account.server, time_left=lambda: 1.3)  # One second is kept to write the outcome down.
    account.server.fail(*({"method": method, "kind": kind, "seconds": 30} for method in ("POST", "PUT")))
    with pytest.raises(EhrOutcomeUnknown):
        WRITES[call](hurried)


@pytest.mark.parametrize("call", WRITES)
def test_a_write_that_could_be_cut_off_is_not_begun(account: Account, open_intakeq: OpenIntakeq, call: str) -> None:
    before = account.content()
    with pytest.raises(EhrUnavailable):
        WRITES[call](open_intakeq(account.server, time_left=lambda: 5.0))
    assert {row["method"] for row in account.server.requests()} <= {"GET"}
    assert account.content() == before


def test_a_read_waits_no_longer_than_its_process_lives(account: Account, open_intakeq: OpenIntakeq) -> None:
    hurried = open_intakeq(account.server, time_left=lambda: 1.3)
    account.server.fail({"kind": "delay", "seconds": 30, "times": None})
    with pytest.raises(EhrUnavailable):
        hurried.visit(ONE, Lane.WEBHOOK)


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize(("fault", "_write_error", "error", "_has_effect"), FAULTS)
def test_a_read_is_tried_three_times_unless_that_cannot_help(
    account: Account, call: str, fault: dict[str, Any], _write_error: object, error: type[EhrError], _has_effect: object
) -> None:
    account.server.fail({**fault, "times": None})
    with pytest.raises(EhrError) as raised:
        READS[call](account.ehr)
    attempts = 3 if error is EhrUnavailable else 1
    assert raised.type is error
    assert len(account.server.requests()) == len(account.budget.taken) == attempts


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("kind", ["error_before", "drop_after", "html"])
def test_a_read_gets_over_two_failures(account: Account, call: str, kind: str) -> None:
    account.server.fail({"kind": kind, "times": 2})
    READS[call](account.ehr)
    assert account.server.requests()[-1]["status"] == 200


@pytest.mark.parametrize("call", WRITES)
def test_a_write_to_nobody_surely_had_no_effect(open_intakeq: OpenIntakeq, call: str) -> None:
    ehr = open_intakeq(IntakeqServer("http://127.0.0.1:9", MovableClock()))
    with pytest.raises(EhrUnavailable):
        WRITES[call](ehr)


class EmptyBudget(OpenBudget):
    def take(self, lane: Lane) -> None:
        super().take(lane)
        raise BudgetExhausted(12.0)


@pytest.mark.parametrize("call", [*WRITES, *READS])
def test_nothing_is_sent_when_no_time_is_left_or_the_budget_is_empty(
    account: Account, open_intakeq: OpenIntakeq, call: str
) -> None:
    calls, budget = WRITES | READS, EmptyBudget()
    with pytest.raises(EhrUnavailable):
        calls[call](open_intakeq(account.server, time_left=lambda: 0.9))
    with pytest.raises(BudgetExhausted) as exhausted:
        calls[call](open_intakeq(account.server, budget))
    assert (exhausted.value.retry_after, len(budget.taken)) == (12.0, 1)
    assert account.server.requests() == []


@pytest.mark.parametrize(("told", "seconds"), [(None, 60.0), (7, 7.0), (86_400, 3600.0)])
def test_a_429_makes_everybody_back_off(account: Account, told: int | None, seconds: float) -> None:
    account.server.fail({"kind": "429", "retry_after": told})
    with pytest.raises(BudgetExhausted) as exhausted:
        account.ehr.visit(ONE, Lane.WEBHOOK)
    assert (account.budget.pauses, exhausted.value.retry_after) == ([seconds], seconds)


def test_a_wrong_key_locks_out(account: Account, open_intakeq: OpenIntakeq) -> None:
    with pytest.raises(EhrLockedOut):
        open_intakeq(account.server, key="wrong").deleted(1, Lane.NIGHTLY)
