"""A change that the EHR tells us of, and what is left open at the end of it all."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from http import HTTPStatus

from local.demo.demo import Booked, Demo, Step
from local.demo.ehr import milliseconds
from local.demo.report import columns, given, hold, until

_DAY = timedelta(days=1)
_OPEN = {
    "bookings not yet settled with the EHR": "ehr_writes where state not in ('confirmed', 'failed')",
    "visits still pending": "appointments where status = 'pending'",
    "sync runs under way": "sync_runs where state in ('pulling', 'applying')",
    "parts of runs under way": "sync_logs where status = 'in_progress'",
    "webhook events not applied": "webhook_events where state in ('received', 'failed')",
}


def hear_of_change(demo: Demo) -> Step:
    """Move a visit in the EHR as its staff would, and wait until its patient sees it here."""
    booked = given(demo.booked, "visit")
    demo.ehr.send_webhooks_to(demo.site.description["webhooks"]["intakeq"])
    try:
        first, again = _seen_after(demo, booked, booked.start + _DAY), _seen_after(demo, booked, booked.start)
    finally:
        demo.ehr.send_webhooks_to(None)
    sent = [each["event"] for each in demo.ehr.deliveries() if each["id"] == booked.external_id]
    yield f"Staff move {booked.external_id} in the EHR by a day, and back: {', '.join(sent)}."
    yield f"GET /appointments/{booked.answer['appointmentId']} shows it"
    yield f"  {first:.0f} ms after the change, two functions started for it;"
    yield f"  {again:.0f} ms after the next one, with both at hand."


def _seen_after(demo: Demo, booked: Booked, start: datetime) -> float:
    """Move the visit in the EHR and return after how many milliseconds its patient sees it there."""
    began = time.monotonic()
    demo.ehr.staff("update", id=booked.external_id, fields={"StartDate": milliseconds(start)})
    until(lambda: _is_at(demo, booked, start) or None, "the patient sees the new time")
    took = (time.monotonic() - began) * 1000
    until(lambda: _all_answered(demo, booked) or None, "the EHR's webhooks are answered with 200")
    return took


def _is_at(demo: Demo, booked: Booked, start: datetime) -> bool:
    return datetime.fromisoformat(demo.shown(booked.answer)["start"]) == start


def _all_answered(demo: Demo, booked: Booked) -> bool:
    sent = [each for each in demo.ehr.deliveries() if each["id"] == booked.external_id]
    return all(each["status"] == HTTPStatus.OK for each in sent)


def nothing_open(demo: Demo) -> Step:
    """Count what is not finished."""
    found = {what: demo.site.rows(f"select count(*) n from {rows}")[0]["n"] for what, rows in _OPEN.items()}
    for what, count in found.items():
        hold(f"no {what}", expected=0, seen=count)
    yield from columns((count, what) for what, count in found.items())
