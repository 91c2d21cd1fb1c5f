"""Pulls while the calendar changes under them, and what a complete reading of all days no longer shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

from moonlit.ehr.port import Ehr, Page
from moonlit.sync.pull import Meter, open_run
from tests.fixtures_intakeq import NOON, OpenBudget, OpenIntakeq, make_account, make_visit
from tests.fixtures_sync import Night, Practice, StartNight


def visits(count: int, first_day: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """Return that many visits of client 1, a quarter of an hour apart."""
    who: dict[str, Any] = {"ClientId": 1, "ClientEmail": "client1@example.org"}
    return [make_visit(n, NOON + timedelta(days=first_day, minutes=15 * n), **who, **fields) for n in range(count)]


def in_mirror(practice: Practice) -> set[str]:
    rows = practice.rows("select external_id from ehr_appointments where not deleted_in_ehr")
    return {row["external_id"] for row in rows}


@dataclass
class Meanwhile:
    """An EHR in which something happens before page 2 of the window is read, each time that it is."""

    ehr: Ehr
    happens: list[Callable[[], object]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ehr, name)

    def window(self, *arguments: Any) -> Page:
        if arguments[2] == 2 and self.happens:
            self.happens.pop(0)()
        return self.ehr.window(*arguments)


def after_a_silence(night: Night) -> None:
    """Let so many days pass that the next run reads all of them, not only what changed."""
    night.practice.clock.advance(days=12)


def test_row_that_slipped_between_two_pages_is_read_in_another_round(
    practice: Practice, start_night: StartNight
) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=visits(150)))
    gone = f"{149:024x}"  # On the first page, which shows the latest start first.
    night.ehr = cast("Ehr", Meanwhile(night.ehr, [lambda: night.server.staff("delete", id=gone)]))
    assert night.run()["requestsUsed"] == 6  # Two pages and the deletions, twice.
    assert in_mirror(practice) == {f"{number:024x}" for number in range(149)}


def test_calendar_that_never_rests_is_read_three_times_at_most(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=visits(150)))

    def deletion(number: int) -> Callable[[], object]:
        return lambda: night.server.staff("delete", id=f"{number:024x}")

    night.ehr = cast("Ehr", Meanwhile(night.ehr, [deletion(number) for number in range(149, 139, -1)]))
    summary = night.run()
    assert (summary["state"], summary["requestsUsed"]) == ("completed", 9)


def test_visit_that_vanished_during_a_long_silence_is_cancelled(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=visits(3, first_day=30)))
    night.run()
    night.server.staff("delete", id=f"{1:024x}")
    after_a_silence(night)
    summary = night.run()
    assert (summary["counts"]["updated"], summary["requestsUsed"]) == (1, 4)  # One look is not enough.
    visit = practice.visits()[f"{1:024x}"]
    assert (visit["status"], visit["deleted_in_ehr"], practice.claims(visit["id"])) == ("cancelled", True, set())
    practice.clock.advance(hours=1)
    assert night.run()["counts"]["updated"] == 0


@dataclass
class Blind:
    """An EHR whose window leaves rows out in the rounds named, counted from 1."""

    ehr: Ehr
    hidden: str
    rounds: Sequence[int]
    round: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ehr, name)

    def window(self, *arguments: Any) -> Page:
        self.round += 1
        page = self.ehr.window(*arguments)
        if self.round not in self.rounds:
            return page
        return replace(page, visits=[visit for visit in page.visits if visit.external_id != self.hidden])


def test_row_that_one_reading_missed_is_not_gone(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=visits(3, first_day=30)))
    night.run()
    after_a_silence(night)
    night.ehr = cast("Ehr", Blind(night.ehr, f"{1:024x}", [1]))
    night.run()
    assert {each["status"] for each in practice.visits().values()} == {"confirmed"}


def test_row_that_shows_up_again_comes_back(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=visits(3, first_day=30)))
    night.run()
    night.ehr = cast("Ehr", Blind(night.ehr, f"{1:024x}", [1, 2]))
    for expected in ("cancelled", "confirmed"):
        after_a_silence(night)
        night.run()
        assert practice.visits()[f"{1:024x}"]["status"] == expected


def test_row_that_makes_no_sense_any_more_is_not_gone(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=visits(3, first_day=30)))
    night.run()
    after_a_silence(night)
    broken = [*visits(2, first_day=30), visits(3, first_day=30)[2] | {"EndDate": None}]
    again = start_night(make_account(appointments=broken))
    again.run()
    assert len(in_mirror(practice)) == 3


def test_nothing_outside_the_window_and_nothing_after_a_failed_pull_is_gone(
    practice: Practice, start_night: StartNight
) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=[*visits(3, first_day=30), *visits(1, first_day=-80, Id="f" * 24)]))
    night.run()
    night.server.staff("delete", id=f"{1:024x}")
    after_a_silence(night)  # The oldest visit lies before the window by now.
    night.server.fail({"method": "GET", "path": "/appointments", "kind": "error_before", "status": 500, "times": 3})
    assert night.run()["error"] == "ehr_unavailable"
    assert len(in_mirror(practice)) == 4
    night.run()
    assert in_mirror(practice) == {f"{0:024x}", f"{2:024x}", "f" * 24}


def test_brake_stops_a_reading_that_shows_too_little_until_somebody_confirms(
    practice: Practice, start_night: StartNight
) -> None:
    practice.patient("1")
    start_night(make_account(appointments=visits(30, first_day=30))).run()
    practice.clock.advance(days=12)
    emptied = start_night(make_account(appointments=[]))
    for _ in range(2):
        assert emptied.run()["error"] == "brake"
        assert len(in_mirror(practice)) == 30
        practice.clock.advance(hours=1)
    assert confirmed(emptied) == "completed"
    assert {each["status"] for each in practice.visits().values()} == {"cancelled"}


def test_brake_lets_the_run_pass_that_somebody_confirmed_and_no_other(
    practice: Practice, start_night: StartNight
) -> None:
    practice.patient("1")
    night = start_night(make_account(appointments=visits(60)))
    night.run()
    for number in range(25):
        night.server.staff("cancel", id=f"{number:024x}")
    assert night.run()["error"] == "brake"
    assert confirmed(night) == "completed"
    for number in range(25, 50):
        night.server.staff("cancel", id=f"{number:024x}")
    assert night.run()["error"] == "brake"


def confirmed(night: Night) -> str:
    """Run a night that a person has said may cancel however much, and return its state."""
    nightly = night.practice.nightly(night.ehr, night.meter)
    run_id = nightly.start("manual_org", confirm_brake=True)
    night.practice.apply_all()
    return str(nightly.summary(run_id)["state"])


def test_confirmation_counts_for_the_pull_that_it_joins(practice: Practice, start_night: StartNight) -> None:
    practice.patient("1")
    night = start_night(make_account())
    waiting = practice.nightly(night.ehr, night.meter, seconds_left=1.0).start("automated_daily")
    assert practice.nightly(night.ehr, night.meter).start("manual_org", confirm_brake=True) == waiting
    assert practice.rows("select brake_confirmed from sync_runs") == [{"brake_confirmed": True}]


def test_requests_of_a_worker_that_is_overtaken_are_counted(
    practice: Practice, start_night: StartNight, open_intakeq: OpenIntakeq
) -> None:
    night = start_night(make_account(appointments=visits(150)))
    slow = Meter(OpenBudget())
    nightly = practice.nightly(night.ehr, night.meter)
    run, _ = open_run(practice.begin, practice.clock, "intakeq", "automated_daily")
    overtaken = Meanwhile(open_intakeq(night.server, slow), [lambda: nightly.go_on(run.id)])
    practice.nightly(cast("Ehr", overtaken), slow).go_on(run.id)
    # The slow worker read two pages, of which the fast one had read the second, and then the deletions.
    assert practice.rows("select state, requests_used from sync_runs") == [{"state": "applying", "requests_used": 4}]
