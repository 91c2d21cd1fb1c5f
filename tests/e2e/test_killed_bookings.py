"""The `book` process is killed after the EHR has answered and before it could write that down."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from moonlit.booking.claims import lock
from tests.e2e.site import Answer, Site, booking, until
from tests.fixtures_booking import INES, TEN

pytestmark = pytest.mark.stack

SLOW_ANSWER = {"method": "POST", "path": "/appointments", "kind": "delay", "seconds": 0.5}
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


@contextmanager
def provider_locked(site: Site) -> Iterator[sa.Connection]:
    """Hold the provider's lock, behind which the answer of the EHR is to be written down."""
    with site.database() as connection:
        lock(connection, [INES])
        yield connection


def book_and_kill(site: Site, body: dict[str, Any], key: str) -> Answer:
    """Kill the process that books while it has the EHR's answer and waits for its last transaction."""
    site.simulator("POST", "faults", {"faults": [SLOW_ANSWER]})
    before = len(site.in_ehr())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(site.book, body, key)
        until(lambda: site.rows("select 1 from ehr_writes where state = 'sending'"), "a write that is being sent")
        with provider_locked(site) as connection:
            until(lambda: connection.execute(sa.text(WAITING)).scalar_one(), "a process that waits for the lock")
            assert len(site.in_ehr()) == before + 1  # The EHR has accepted, and has answered.
            for worker in site.workers("book"):
                os.kill(worker["pid"], signal.SIGKILL)
            return answer.result()


@pytest.mark.parametrize(("day", "comes_back_by"), [(0, "sweeper"), (1, "sync_cron")])
def test_one_visit_stands_here_and_there_after_a_sweep_and_a_retry(site: Site, day: int, comes_back_by: str) -> None:
    body, key = booking((TEN + timedelta(days=day)).isoformat(), 500 + day), f"killed-{day}"
    assert book_and_kill(site, body, key).status >= 500
    assert site.rows("select status from appointments a join ehr_writes w on w.appointment_id = a.id "
                     "where w.state = 'sending'") == [{"status": "pending"}]  # fmt: skip

    if comes_back_by == "sync_cron":
        site.night()
        assert site.rows("select 1 from ehr_writes where state = 'sending'") == []
    site.invoke("SweeperFunction")
    again = site.book(body, key)

    assert (again.status, again.body["status"]) == (201, "confirmed")
    here = site.rows("select x.external_id from appointments a join appointment_external_ids x on x.appointment_id = a.id "
                     "where a.id = :id", id=again.body["appointmentId"])  # fmt: skip
    there = [row["Id"] for row in site.in_ehr() if row["ClientName"] == f"Pat{500 + day} Canary"]
    assert [row["external_id"] for row in here] == there
    assert site.rows("select count(*) n from appointments")[0]["n"] == len(site.in_ehr())
