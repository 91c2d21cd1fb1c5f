"""What a correct system makes of the demo, known by construction or by the oracle: never by the product's code."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from local.demo_data.account import account
from local.demo_data.files import clinic
from local.demo_data.ids import AS_OF, SECOND_NIGHT, in_days, text, uid
from local.demo_data.oracle import Oracle
from local.demo_data.payers import CHANGING, READY, UNMAPPED, acceptance
from local.demo_data.people import clients, for_review, organizations_of
from local.demo_data.practice import CLOSED, EXTENDED, INTAKE, ORGANIZATIONS, ORPHANS, SHORT
from local.demo_data.story import Story, story
from local.demo_data.visits import Visit

# Payer, service, state, first and last day counted from today.
_SLOT_CASES = (
    (READY, INTAKE, "UT", 12, 18),  # With both levels of supervision, and the night in which the clocks change.
    (READY, EXTENDED, "UT", 12, 18),  # With a buffer.
    (READY, INTAKE, "ID", 12, 18),  # With licences of another state.
    (CHANGING, INTAKE, "UT", 0, 9),  # From today on, with a provider who takes nobody new and one who has a full day.
    (CHANGING, SHORT, "UT", 9, 16),  # While one contract ends and another begins.
    (CHANGING, SHORT, "UT", 54, 64),  # Across the horizon.
    (UNMAPPED, SHORT, "UT", 5, 7),  # Accepted, but nothing can be booked in the EHR.
)


@cache
def expected() -> dict[str, Any]:
    """Return the expectations, in the shape that `tests.expectations` compares with."""
    told = story()
    return {
        "as_of": text(AS_OF),
        "importReport": {"orphans": ORPHANS, "duplicates": 1},
        "acceptance": acceptance(),
        "slotsAfterFirstNight": _slots(),
        "firstNight": {
            "summaries": _summaries(told, second_night=False),
            "appointments": {visit.id: _shown(visit, AS_OF) for visit in told.stored(second_night=False)},
            "next": _next(told, AS_OF, second_night=False),
            "neverMatched": {
                "clientIds": [client.number for client in clients() if client.patient is None],
                "patientsForReview": for_review(),
            },
        },
        "secondNight": {
            "now": text(SECOND_NIGHT),
            "summaries": _summaries(told, second_night=True),
            # Everything, not only what changed: a visit of that evening is completed by now.
            "appointments": {visit.id: _shown(visit, SECOND_NIGHT) for visit in told.stored(second_night=True)},
            "next": _next(told, SECOND_NIGHT, second_night=True),
        },
        "requests": {"secondNightAtMost": 4},
    }


def _shown(visit: Visit, now: datetime) -> dict[str, Any]:
    if visit.in_window:
        return visit.expected(now)
    return visit.expected(now) | {"meetingUrl": None, "locationKind": None}  # Never read from the EHR.


def _summaries(told: Story, *, second_night: bool) -> dict[str, dict[str, int]]:
    return {
        uid("organization", organization): _summary(told, organization, second_night=second_night)
        for organization in range(len(ORGANIZATIONS))
        if organization != CLOSED
    }


def _summary(told: Story, organization: int, *, second_night: bool) -> dict[str, int]:
    """Count the visits inside the window of the patients whom the organization looks after now."""
    ours = [
        visit
        for visit in told.stored(second_night=second_night)
        if visit.in_window and (organization, "active") in organizations_of(visit.client.patient or 0)
    ]
    before = {visit.number for visit in told.visits} if second_night else set(told.held)
    touched = {change.visit.number for change in told.changes} if second_night else before
    known = [visit for visit in ours if visit.number in before]
    updated = sum(visit.number in touched for visit in known)
    return {"new": len(ours) - len(known), "updated": updated, "unchanged": len(known) - updated, "errors": 0}


def _next(told: Story, now: datetime, *, second_night: bool) -> dict[str, dict[str, Any]]:
    """Return each patient's next visit, by patient id."""
    found: dict[str, dict[str, Any]] = {}
    for visit in sorted(told.stored(second_night=second_night), key=lambda visit: (visit.start, visit.id)):
        shown = _shown(visit, now)
        if visit.start > now and shown["status"] in ("scheduled", "confirmed"):
            row = {"start": shown["start"], "externalId": visit.id, "meetingUrl": shown["meetingUrl"]}
            found.setdefault(shown["patientId"], row)
    return found


def _slots() -> list[dict[str, Any]]:
    oracle = Oracle(clinic(), account(), AS_OF)
    return [
        {"payer": payer.name.strip(), "payerId": payer.id, "serviceId": service.id, "state": state,
         "from": in_days(first).isoformat(), "to": in_days(last).isoformat(),
         "slots": oracle.slots(payer.id, service.id, state, in_days(first), in_days(last))}
        for payer, service, state, first, last in _SLOT_CASES
    ]  # fmt: skip
