"""The process that brings an organization up to date is killed, and its message comes again until it is done.

Each time on an equal copy of the database, in which a night has been pulled; an undisturbed worker shows what has to be
there at the end.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from local.simulators.intakeq.wire import to_ms
from moonlit.clock import FixedClock
from moonlit.db.engine import beginner, connect
from moonlit.db.tables import metadata
from moonlit.sync.organizations import Organizations
from tests.fixtures_intakeq import NOON, OTHER_PRACTITIONER, make_account, make_client, make_visit
from tests.fixtures_sync import Practice, StartNight
from tests.integration.sync.killing import BATCH_PATIENTS, DONE, start, warm

MOMENTS = 40
PATIENTS = 11
# What a worker commits: it begins; four batches of three, of which the one with the poisoned patient is split and
# reports that patient apart; it adds up.
LEAST_COMMITS = 8
SIGKILLED = -9
MADE_HERE = ("appointments", "time_claims", "patient_activity_log", "match_reviews", "schedule_conflicts")


@dataclass(frozen=True)
class Copies:
    """Makes equal copies of a database in which a night has been pulled; `log_ids` are its parts, still to be done."""

    postgres_url: str
    original: str
    password: str
    log_ids: Sequence[UUID]

    @contextmanager
    def one(self) -> Iterator[Copy]:
        owner = sa.create_engine(self.postgres_url, isolation_level="AUTOCOMMIT")
        name = f"copy_{uuid4().hex}"
        with owner.connect() as connection:
            connection.exec_driver_sql(f"create database {name} template {self.original} strategy file_copy")
            copy = Copy(make_url(self.postgres_url).set(database=name), self.password, self.log_ids)
            try:
                yield copy
            finally:
                copy.engine.dispose()
                connection.exec_driver_sql(f"drop database {name} with (force)")
        owner.dispose()


@dataclass
class Copy:
    """One copy, and workers on it."""

    url: sa.URL
    password: str
    log_ids: Sequence[UUID]

    def __post_init__(self) -> None:
        self.engine = connect(self.url.render_as_string(hide_password=False))
        self.app_url = self.url.set(username="moonlit_app", password=self.password).render_as_string(
            hide_password=False
        )

    def work(self, context: ForkServerContext, log_id: UUID, dies_at: str | None = None, after: float = 60.0) -> int:
        """Let a worker have the message of a log, kill it after so many seconds, and return how it ended."""
        worker = start(context, self.app_url, log_id, NOON, dies_at)
        worker.join(after)
        worker.kill()
        worker.join()
        assert worker.exitcode is not None
        return worker.exitcode

    def finish(self, *log_ids: UUID) -> None:
        """Let the messages of these logs come, else those of all, to a worker of this process."""
        worker = Organizations(beginner(self.engine), FixedClock(NOON), lambda: 900.0, BATCH_PATIENTS)
        for log_id in log_ids or self.log_ids:
            assert worker.bring_up_to_date(log_id)

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.exec_driver_sql(statement).all())

    def contents(self) -> dict[str, list[str]]:
        """Return every row of every table; ids that are made here are left out, visits go by their id in the EHR."""
        visits = dict(self.rows("select appointment_id::text, external_id from appointment_external_ids"))
        found = {}
        for table in metadata.tables:
            rows = [row for (row,) in self.rows(f"select row_to_json(t)::text from {table} t")]
            found[table] = sorted(_told(json.loads(row), visits, table in MADE_HERE) for row in rows)
        return found

    def versions(self) -> dict[str, list[Any]]:
        """Return which version of each row there is: every write makes another."""
        return {table: self.rows(f"select ctid::text, xmin::text from {table} order by 1") for table in metadata.tables}


def _told(row: dict[str, Any], visits: dict[str, str], made_here: bool) -> str:  # noqa: FBT001
    if made_here:
        row.pop("id")
    return json.dumps(
        {key: visits.get(value, value) if isinstance(value, str) else value for key, value in row.items()}
    )


@pytest.fixture
def copies(practice: Practice, start_night: StartNight, engine: sa.Engine, app_password: str) -> Copies:
    """Pull two nights: there are visits that are new, changed, gone or as before, and a patient whom nothing helps."""
    harbor = practice.organization()
    patients = [practice.patient(str(number), harbor) for number in range(1, PATIENTS + 1)]
    practice.patient("99")
    numbers = [*range(1, PATIENTS + 1), 99]
    clients = [make_client(number, Email=f"client{number}@example.org") for number in numbers]
    visits = [_visit(number, day) for number in numbers for day in (1, 2, 3)]
    night = start_night(make_account(clients=clients, appointments=visits))
    night.run()
    for number in numbers:
        night.server.staff("cancel", id=_visit(number, 1)["Id"])
        night.server.staff("update", id=_visit(number, 2)["Id"], fields={"PractitionerId": OTHER_PRACTITIONER})
        night.server.staff("create", appointment=_visit(number, 4, LastModified=to_ms(NOON)))
    with practice.begin() as connection:
        connection.exec_driver_sql(
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$"
        )
        connection.exec_driver_sql(
            "create trigger refuse before insert on appointments for each row"
            f" when (new.patient_id = '{sorted(patients)[4]}') execute function refuse()"
        )
    run_id = practice.nightly(night.ehr, night.meter).start("automated_daily", confirm_brake=True)
    assert practice.rows("select state from sync_runs where id = :id", id=run_id) == [{"state": "applying"}]
    log_ids = [UUID(message["syncLogId"]) for message in practice.sync_queue.take()]
    engine.dispose()  # A database that is in use cannot be copied.
    url = engine.url
    return Copies(
        url.set(database="postgres").render_as_string(hide_password=False), str(url.database), app_password, log_ids
    )


def _visit(number: int, day: int, **fields: Any) -> dict[str, Any]:
    start = NOON + timedelta(days=day, hours=number % 8)
    return make_visit(10 * number + day, start, ClientId=number, ClientEmail=f"client{number}@example.org", **fields)


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return warm()


@pytest.fixture
def undisturbed(copies: Copies) -> dict[str, list[str]]:
    """Return what is there once nobody was disturbed."""
    with copies.one() as copy:
        copy.finish()
        found = copy.contents()
    assert len(found["sync_patient_results"]) == 2 * (PATIENTS + 1)
    assert len(found["appointments"]) == 4 * (PATIENTS + 1) - 1  # Nothing helps one of the patients.
    states = sorted(json.loads(row)["state"] for row in found["sync_runs"])
    assert states == ["completed", "partial"]
    return found


def differences(found: dict[str, list[str]], wanted: dict[str, list[str]]) -> dict[str, set[str]]:
    return {table: set(found[table]) ^ set(rows) for table, rows in wanted.items() if found[table] != rows}


def test_a_worker_killed_at_any_commit_leaves_the_same_end(
    copies: Copies, context: ForkServerContext, undisturbed: dict[str, list[str]]
) -> None:
    others, log_id = sorted(copies.log_ids, key=lambda each: _is_harbor(copies, each))
    killed = 0
    for number in range(1, 100):
        for side in ("before", "after"):
            with copies.one() as copy:
                copy.finish(others)  # So that the worker has to end the run as well.
                ended = copy.work(context, log_id, f"{number} {side} commit")
                if ended == DONE:
                    assert killed >= 2 * LEAST_COMMITS
                    sys.stdout.write(f"{killed} killed\n")
                    return
                assert ended == SIGKILLED
                killed += 1
                copy.finish()
                assert differences(copy.contents(), undisturbed) == {}, f"{number} {side} commit"
    pytest.fail("it never came to an end")


def test_a_worker_killed_at_any_moment_leaves_the_same_end(
    copies: Copies, context: ForkServerContext, undisturbed: dict[str, list[str]]
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1_000_000))
    sys.stdout.write(f"CRASH_SEED={seed}\n")
    draw = random.Random(seed)  # noqa: S311  # To be repeatable is its use.
    with copies.one() as copy:
        began = time.monotonic()
        assert copy.work(context, copy.log_ids[0]) == DONE
        seconds = time.monotonic() - began
    killed = 0
    while killed < MOMENTS:
        with copies.one() as copy:
            waiting, longest = list(copy.log_ids), seconds
            while waiting:  # Whoever is killed has to come again, and may be killed again.
                log_id = draw.choice(waiting)
                ended = copy.work(context, log_id, after=draw.uniform(0, longest))
                longest *= 1.1  # However slow the machine has become, there is an end to it.
                assert ended in (DONE, SIGKILLED)
                killed += ended == SIGKILLED
                if ended == DONE:
                    waiting.remove(log_id)
            assert differences(copy.contents(), undisturbed) == {}
    sys.stdout.write(f"{killed} killed, of {seconds:.2f} s\n")


def test_a_message_that_comes_ten_times_writes_nothing_again(copies: Copies) -> None:
    with copies.one() as copy:
        copy.finish()
        before = copy.versions()
        for _ in range(10):
            copy.finish()
        assert copy.versions() == before


def test_two_workers_with_the_same_message_leave_the_same_end(
    copies: Copies, context: ForkServerContext, undisturbed: dict[str, list[str]]
) -> None:
    for _ in range(3):
        with copies.one() as copy:
            workers = [start(context, copy.app_url, log_id, NOON) for log_id in copy.log_ids for _ in range(2)]
            for worker in workers:
                worker.join(60)
            assert [worker.exitcode for worker in workers] == [DONE] * 4
            assert differences(copy.contents(), undisturbed) == {}


def _is_harbor(copies: Copies, log_id: UUID) -> bool:
    with copies.one() as copy:
        return copy.rows(f"select organization_id is not null from sync_logs where id = '{log_id}'") == [(True,)]
