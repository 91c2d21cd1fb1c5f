"""What a night asks of the EHR: it grows with what changed there, not with how many patients there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from math import ceil
from typing import Any

import httpx

from bench.findings import Finding
from bench.instance import handle
from bench.nights import ORGANIZATIONS, add_organizations
from bench.practice import NOW, account, visit
from bench.rig import Rig
from bench.sizes import Sizes
from local.stack import INTAKEQ_API
from moonlit.ehr.intakeq_rows import epoch_ms

_PAGE_ROWS = 100
_BESIDE_PAGES = 2  # The day that the window moves on by, and the deleted ones.
NIGHT = {"syncType": "automated_daily", "waitSeconds": 0}


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Count the requests of a second night at both sizes, as the EHR's simulator received them."""
    few, many = sizes.patients
    pages = ceil(sizes.changed / _PAGE_ROWS)
    asked = {patients: _second_night(rig, patients, sizes.changed) for patients in (few, many)}
    yield Finding(
        what=f"EHR requests of a night, {sizes.changed} changes, {many:,} patients", n=1, ours=asked[many], unit="",
        bar=pages + _BESIDE_PAGES, note=f"{ORGANIZATIONS} organizations; {pages} page(s) of changes",
    )  # fmt: skip
    yield Finding(
        what=f"the same, beside {few:,} patients", n=1, ours=asked[many], unit="", reference=asked[few], bar=1.0
    )


def ehr_account(patients: int, changed: int) -> dict[str, Any]:
    """Return an account with a visit for each patient, some of which move during the day."""
    starts = [NOW + timedelta(days=number % 85, hours=2 + number % 8) for number in range(max(patients, changed))]
    visits = [visit(number, start, client=1 + number % patients) for number, start in enumerate(starts)]
    later = NOW + timedelta(hours=12)
    changes = [
        {
            "at": epoch_ms(later),
            "event": "AppointmentRescheduled",
            "appointment": visit(
                number, starts[number] + timedelta(hours=1), client=1 + number % patients, modified_at=later
            ),
        }
        for number in range(changed)
    ]
    return account(patients, visits, changes)


def _second_night(rig: Rig, patients: int, changed: int) -> int:
    database = rig.copy(rig.practice(0, patients))
    add_organizations(rig, database)
    with (
        rig.simulator(ehr_account(patients, changed)) as intakeq,
        rig.function("sync_cron", database, intakeq) as instance,
    ):
        _expect_pulled(instance.call(handle, NIGHT))
        rig.clock.start_at(NOW + timedelta(days=1))
        try:
            list_of_requests = intakeq.removesuffix(INTAKEQ_API) + "/_control/requests"
            httpx.delete(list_of_requests).raise_for_status()
            _expect_pulled(instance.call(handle, NIGHT))
            return len(httpx.get(list_of_requests).raise_for_status().json())
        finally:
            rig.clock.start_at(NOW)


def _expect_pulled(summary: dict[str, Any]) -> None:
    if summary["state"] != "applying":
        raise RuntimeError(f"the pull ended {summary['state']}: {summary['error']}")
