"""Find a slot and book it: here, and in the EHR beside it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

from local.demo.demo import Booked, Demo, Json, Offer, Step
from local.demo.ehr import instant
from local.demo.report import NotHeld, columns, given, hold

PATIENT = 0  # The invented patient who books first; rivals have other numbers.
_SHOWN, _SHOWN_NAMES = 4, 2


def find_slots(demo: Demo) -> Step:
    """Ask the API which payer's members can book what, until something is free; best with several providers."""
    export = demo.site.export()
    state = _commonest_state(export)
    found = next(iter(sorted(_answers(demo, state), key=lambda one: -_most_providers(one[2]))), None)
    if found is None:
        raise NotHeld("somebody has a free slot in the coming weeks", expected="a slot", seen="none for any payer")
    payer, service, answer = found
    demo.offer = _offer(export, payer, service, state, answer)
    first, last = demo.coming_weeks()
    names = {one["id"]: one["name"] for one in answer["providers"]}
    slots = sorted(answer["slots"], key=lambda slot: -len(slot["providerIds"]))
    yield f"{payer['name']}, {service['name']} ({service['durationMinutes']} min), {state}, {first} to {last}:"
    yield f"{len(answer['slots'])} starts in one list of {len(answer['providers'])} providers, {answer['timezone']}."
    shown = sorted(slots[:_SHOWN], key=lambda slot: str(slot["start"]))
    rows = ((_local(slot["start"]), _few([names[one] for one in slot["providerIds"]])) for slot in shown)
    yield from (f"  {line}" for line in columns(rows))
    excluded = ", ".join(f"{each['reason']} {each['providers']}" for each in answer["excluded"])
    yield f"Left out, by reason: {excluded or 'nobody'}."


def _answers(demo: Demo, state: str) -> Iterator[tuple[Json, Json, Json]]:
    """Yield the payers and services with free slots of somebody in IntakeQ; one with several providers is enough."""
    for payer in demo.payers():
        if payer["acceptance"]["status"] == "lead":
            continue
        for service in demo.site.get("/services", payerId=payer["id"])["items"]:
            answer = demo.slots(payer["id"], service["id"], state)
            if _seats(demo.options.clinic).keys() & _free(answer).keys():
                yield payer, service, answer
                if _most_providers(answer) > 1:
                    return


def _offer(export: Json, payer: Json, service: Json, state: str, answer: Json) -> Offer:
    """Choose the provider with most slots among those in IntakeQ."""
    seats, free = _seats(export), _free(answer)
    chosen = max(sorted(seats.keys() & free.keys()), key=lambda provider_id: free[provider_id])
    provider = next(one for one in answer["providers"] if one["id"] == chosen)
    return Offer(payer, service, state, provider, seats[chosen])


def _seats(clinic: Json) -> dict[str, str]:
    """Return the providers' ids in IntakeQ."""
    return {row["provider_id"]: row["practitioner_id"] for row in clinic["provider_intakeq_settings"]}


def _free(answer: Json) -> Counter[str]:
    return Counter(provider_id for slot in answer["slots"] for provider_id in slot["providerIds"])


def _most_providers(answer: Json) -> int:
    return max((len(slot["providerIds"]) for slot in answer["slots"]), default=0)


def _commonest_state(export: Json) -> str:
    states = Counter(state for provider in export["providers"] for state in provider["license_states"])
    return str(states.most_common(1)[0][0])


def book(demo: Demo) -> Step:
    """Book over HTTP, lay the EHR's row beside the answer, and send the same request again."""
    offer = given(demo.offer, "slot")
    demo.site.let_a_minute_pass()
    body, key = offer.booking(demo.next_start(offer), PATIENT), uuid4().hex
    began = time.monotonic()
    answer = demo.book(body, key)
    hold("the booking is answered", expected=(201, ""), seen=(answer.status, answer.slug))
    demo.booked = Booked(answer.body)
    yield f"201 after {time.monotonic() - began:.1f} s; IntakeQ lets a new client wait for some seconds."
    yield from _side_by_side(demo, offer, demo.booked)
    again = demo.book(body, key)
    hold("the same request again is answered", expected=(201, ""), seen=(again.status, again.slug))
    hold("with the same visit", expected=answer.body["appointmentId"], seen=again.body["appointmentId"])
    hold_one_visit(demo, offer, demo.booked.start)
    yield "The same request again: 201 with the same id, still one visit here and one in the EHR."


def _side_by_side(demo: Demo, offer: Offer, booked: Booked) -> Iterator[str]:
    here, row = booked.answer, demo.ehr.calendar().standing.get(booked.external_id)
    if row is None:
        raise NotHeld("the EHR has the visit", expected=booked.external_id, seen="no such visit")
    ours = (_utc(here["start"]), _utc(here["end"]), "confirmed", offer.practitioner_id)
    theirs = (instant(row["StartDate"]), instant(row["EndDate"]), row["Status"].lower(), row["PractitionerId"])
    hold("the EHR's row says the same", expected=_words(ours), seen=_words(theirs))
    yield from (
        f"  {line}"
        for line in columns(
            [
                ("", "our answer", "the EHR's row"),
                ("id", here["appointmentId"], row["Id"]),
                ("start", f"{ours[0]:%Y-%m-%d %H:%M} UTC", f"{theirs[0]:%Y-%m-%d %H:%M} UTC"),
                ("end", f"{ours[1]:%Y-%m-%d %H:%M} UTC", f"{theirs[1]:%Y-%m-%d %H:%M} UTC"),
                ("status", here["status"], row["Status"]),
                ("provider", here["provider"]["name"], row["PractitionerName"]),
                ("service", here["service"]["name"], row["ServiceName"]),
            ]
        )
    )


def hold_one_visit(demo: Demo, offer: Offer, start: datetime) -> None:
    """Make sure that exactly one visit stands at that time, here and in the EHR, and that it is the same.

    Raises:
        NotHeld: There is none, or more than one.
    """
    here = [
        row["external_id"]
        for row in demo.site.export()["appointments"]
        if row["provider_id"] == offer.provider["id"]
        and row["status"] in ("pending", "scheduled", "confirmed")
        and _utc(row["start"]) == start
    ]
    there = [row["Id"] for row in demo.ehr.calendar().at(offer.practitioner_id, start)]
    hold("one visit stands here", expected=1, seen=len(here))
    hold("and the same one in the EHR", expected=here, seen=there)


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _words(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _local(text: str) -> str:
    return f"{datetime.fromisoformat(text):%a %Y-%m-%d %H:%M}"
