"""Many callers, one slot: over HTTP, with a real process for each request that is under way."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from local.simulators.intakeq.wire import to_ms
from tests.e2e.site import Site, booking
from tests.fixtures_booking import TEN

pytestmark = pytest.mark.stack

CALLERS, ROUNDS = 50, 10


@pytest.mark.timeout(300)
def test_fifty_parallel_bookings_of_one_slot_ten_times_in_a_row(site: Site) -> None:
    for round_number in range(ROUNDS):
        start = (TEN + timedelta(days=round_number // 5, minutes=75 * (round_number % 5))).isoformat()
        bodies = [booking(start, 100 * round_number + caller) for caller in range(CALLERS)]
        with ThreadPoolExecutor(CALLERS) as pool:
            answers = list(pool.map(site.book, bodies))
        assert Counter(answer.status for answer in answers) == {201: 1, 409: CALLERS - 1}
        lost = [answer.body for answer in answers if answer.status == 409]
        assert all(body["type"].endswith("/slot-taken") and body["alternatives"] for body in lost)
    first_and_last = {"first": TEN, "last": TEN + timedelta(days=2)}
    booked = site.rows('select status from appointments where "start" between :first and :last', **first_and_last)
    assert [row["status"] for row in booked] == ["confirmed"] * ROUNDS
    there = [row["StartDate"] for row in site.in_ehr() if row["StartDate"] < to_ms(first_and_last["last"])]
    assert len(set(there)) == len(there) == ROUNDS


def test_fifty_repetitions_of_one_request_are_one_visit(site: Site) -> None:
    body = booking((TEN + timedelta(days=7)).isoformat(), 7)
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda _: site.book(body, "the-same-key"), range(CALLERS)))
    assert {answer.status for answer in answers} <= {201, 202}
    assert len({answer.body["appointmentId"] for answer in answers}) == 1
    assert site.book(body, "the-same-key").status == 201
    started = [row for row in site.in_ehr() if row["ClientName"] == "Pat7 Canary"]
    assert len(started) == 1
