"""Trouble on purpose: a race for one slot, and an EHR that takes a booking and says nothing."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import uuid4

from local.demo.booking import PATIENT, hold_one_visit
from local.demo.demo import Demo, Step
from local.demo.http import Answer
from local.demo.report import given, hold, require, until

_RIVALS = 12
_ACCEPTED_WITHOUT_ANSWER = {"kind": "drop_after", "method": "POST", "path": "/appointments"}


def lose_race(demo: Demo) -> Step:
    """Let twelve people book one slot of one provider at once."""
    offer = given(demo.offer, "slot")
    demo.site.let_a_minute_pass()
    start = demo.next_start(offer)
    bodies = [offer.booking(start, PATIENT + number) for number in range(1, _RIVALS + 1)]
    began = time.monotonic()
    with ThreadPoolExecutor(_RIVALS) as pool:
        answers = list(pool.map(demo.book, bodies))
    seconds = time.monotonic() - began
    outcomes = Counter((answer.status, answer.slug) for answer in answers)
    wanted = Counter({(201, ""): 1, (409, "slot-taken"): _RIVALS - 1})
    hold("one wins and the others are told", expected=_told(wanted), seen=_told(outcomes))
    offered = [len(answer.body["alternatives"]) for answer in answers if answer.status != 201]  # noqa: PLR2004
    require(min(offered) > 0, "every loser is offered something else", expected="alternatives", seen="none")
    hold_one_visit(demo, offer, datetime.fromisoformat(start))
    yield f"{_RIVALS} requests at once for {start}: {_told(outcomes)}; all answered after {seconds:.1f} s."
    yield f"Each of the {len(offered)} losers got at least {min(offered)} alternatives."
    yield "One visit here, one visit in the EHR."


def _told(outcomes: Counter[tuple[int, str]]) -> str:
    return ", ".join(f"{n} x {status} {slug}".rstrip() for (status, slug), n in sorted(outcomes.items()))


def lose_answer(demo: Demo) -> Step:
    """Let the EHR accept a booking and hang up: nothing is lost, and nothing is booked twice."""
    offer = given(demo.offer, "slot")
    given(demo.booked, "patient whom the EHR knows")
    demo.site.let_a_minute_pass()
    body, key = offer.booking(demo.next_start(offer), PATIENT), uuid4().hex
    demo.ehr.fail(_ACCEPTED_WITHOUT_ANSWER)
    try:
        answer = demo.book(body, key)
    finally:
        demo.ehr.fail()
    hold("what nobody knows yet is answered", expected=(202, "pending"), seen=_status(answer))
    start = datetime.fromisoformat(body["start"])
    there = demo.ehr.calendar().at(offer.practitioner_id, start)
    hold("the EHR has booked it all the same", expected=1, seen=len(there))
    yield "The EHR books the visit and drops the connection: 202 pending, nothing is sent twice."
    swept = until(lambda: _swept(demo, answer.body), "the sweeper finds the visit in the EHR")
    hold("it is the EHR's visit", expected=there[0]["Id"], seen=swept["ehr"]["externalId"])
    yield f"The sweeper reads the EHR's calendar: confirmed as {swept['ehr']['externalId']}."
    again = demo.book(body, key)
    hold("the same request again", expected=(201, "confirmed"), seen=_status(again))
    hold_one_visit(demo, offer, start)
    yield "The same request again: 201 confirmed. One visit here, one in the EHR."


def _swept(demo: Demo, answer: Any) -> Any:
    demo.site.invoke("sweeper", {})
    shown = demo.shown(answer)
    return shown if shown["status"] == "confirmed" else None


def _status(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body.get("status") if answer.slug == "" else answer.slug
