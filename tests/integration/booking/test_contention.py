"""Sixteen processes after the same slots: nobody sees a deadlock, and no time is given twice."""

from __future__ import annotations

import multiprocessing as mp
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from moonlit.booking.errors import BookingRefused
from moonlit.booking.use_cases import accept
from moonlit.booking.wanted import Key
from moonlit.db.engine import beginner, connect
from tests.fixtures_booking import EMIL, INES, load_practice, make_clinic, somebody, wanted
from tests.fixtures_intakeq import NOON, MovableClock

PROCESSES, ATTEMPTS, SLOTS = 16, 30, 300
OVERLAPS = """
select count(*) from time_claims a join time_claims b
  on a.id < b.id and a.resource_id = b.resource_id and a.span && b.span
"""


def starts() -> list[datetime]:
    """Return 300 starts within both providers' hours: more wishes than room, since a visit takes an hour."""
    days = [NOON.date() + timedelta(days=n) for n in range(1, 40)]
    mornings = [datetime(day.year, day.month, day.day, 17, tzinfo=UTC) for day in days if day.weekday() < 5]
    return [morning + timedelta(minutes=15 * n) for morning in mornings for n in range(20)][:SLOTS]


def attempt(url: str, number: int, outcomes: mp.SimpleQueue[Counter[str]]) -> None:
    engine = connect(url)
    dice, seen = random.Random(number), Counter[str]()  # noqa: S311
    for one in range(ATTEMPTS):
        who = dice.choice([INES, EMIL, None])
        # Some patients are shared by processes, so that patients collide too.
        form = somebody(dice.randrange(40) if dice.random() < 0.3 else 1000 * number + one)
        booking = replace(wanted(dice.choice(starts())), provider_id=who, patient=form)
        try:
            accept(beginner(engine), MovableClock(), booking, Key(uuid4().hex, ""))
            seen["booked"] += 1
        except BookingRefused as refused:
            seen[refused.slug] += 1
        except Exception as error:  # noqa: BLE001  # What nobody may see, counted by kind.
            seen[f"{type(error).__name__}: {error}"] += 1
    engine.dispose()
    outcomes.put(seen)


def test_sixteen_processes_on_three_hundred_slots(app_url: str, engine: sa.Engine) -> None:
    load_practice(beginner(engine), make_clinic())
    context = mp.get_context("spawn")
    outcomes = context.SimpleQueue()
    processes = [context.Process(target=attempt, args=(app_url, n, outcomes)) for n in range(PROCESSES)]
    for process in processes:
        process.start()
    total: Counter[str] = Counter()
    for _ in processes:
        total += outcomes.get()
    for process in processes:
        process.join()
    assert set(total) <= {"booked", "slot-taken", "patient-overlap"}, total
    assert sum(total.values()) == PROCESSES * ATTEMPTS
    with engine.begin() as connection:
        assert connection.execute(sa.text(OVERLAPS)).scalar_one() == 0
        assert connection.execute(sa.text("select count(*) from appointments")).scalar_one() == total["booked"] > 0
