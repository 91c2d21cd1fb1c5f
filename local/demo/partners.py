"""What a partner organization sees: its patients with the way into their visits, and a refresh that can be watched."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from local.demo.demo import Demo, Step
from local.demo.report import columns, given, hold, require, until
from moonlit.partners.rules import initials

_SHOWN = 6
_OVER = ("completed", "failed", "partial")

type Json = Mapping[str, Any]


def see_roster(demo: Demo) -> Step:
    """Show a partner's roster and hold it against the database, then knock at another organization's door."""
    partner, token = _partner(demo)
    roster = list(_pages(demo, token))
    known = demo.site.rows(
        "select distinct patient_id::text as id from patient_organization_affiliations"
        " where organization_id = :organization and status = 'active'",
        organization=partner["organization_id"],
    )
    hold("the roster is the organization's patients", expected={row["id"] for row in known}, seen=_ids(roster))
    without = [item for item in roster if item["consent"] != "active"]
    hold("no visit is told without consent", expected=[], seen=[i for i in without if i["nextAppointment"]])
    yield f"{len(roster)} patients, {len(without)} of them without a valid consent. By name, here by initials:"
    with_visit = [item for item in roster if item["nextAppointment"]]
    yield from columns(_row(item) for item in [*with_visit[:_SHOWN], *without[:2]])
    others = demo.site.rows(
        "select id::text from patients where id not in (select patient_id from patient_organization_affiliations"
        " where organization_id = :organization and status = 'active') order by id limit 1",
        organization=partner["organization_id"],
    )
    for other in others:
        answer = demo.site.api("GET", f"/partner-dashboard/patients/{other['id']}", headers=_signed(token))
        hold("another organization's patient is not to be found", expected=HTTPStatus.NOT_FOUND, seen=answer.status)
        yield f"GET /partner-dashboard/patients/{other['id']}, of another organization: 404,"
        yield "  and a line in the audit log."


def refresh_all(demo: Demo) -> Step:
    """Press the button, and watch each patient from queued to synced."""
    demo.site.let_a_minute_pass()
    partner, token = _partner(demo)
    path = f"/partner-dashboard/organizations/{partner['organization_id']}/sync-all-patients"
    began = time.monotonic()
    answer = demo.site.api("POST", path, headers=_signed(token))
    hold("the refresh is taken", expected=HTTPStatus.ACCEPTED, seen=answer.status)
    seen: list[str] = []

    def looked() -> Json | None:
        found = demo.site.api("GET", f"/partner-dashboard/syncs/{answer.body['syncId']}", headers=_signed(token)).body
        if (now := f"{found['status']} {found['patientsProcessed']}/{found['patientsTotal']}") not in seen:
            seen.append(now)
        return found if found["status"] in _OVER else None

    done = until(looked, "the refresh ends", seconds=60.0)
    hold("the refresh is complete", expected="completed", seen=done["status"])
    statuses = {each["status"] for each in done["patientResults"]}
    hold("every patient is up to date", expected={"synced"}, seen=statuses)
    require(len(seen) > 1, "its progress can be watched", expected="more than the end", seen=seen)
    told = ", ".join(f"{count} {word}" for word, count in done["totalSummary"].items())
    yield f"POST …/sync-all-patients: 202, done {(time.monotonic() - began) * 1000:.0f} ms later: {told}."
    yield f"Watched meanwhile: {', '.join(seen[:_SHOWN])}{', …' if len(seen) > _SHOWN else ''}."


def _partner(demo: Demo) -> tuple[Json, str]:
    """Return the first partner whose organization is open, and their token."""
    clinic = demo.options.clinic
    open_houses = {house["id"] for house in clinic["organizations"] if house["active"]}
    found = next((user for user in clinic["partner_users"] if user["organization_id"] in open_houses), None)
    partner = given(found, "partner")
    return partner, str(demo.site.description["tokens"][partner["email"]])


def _signed(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _pages(demo: Demo, token: str) -> Iterator[Json]:
    query: dict[str, Any] = {"limit": 200}
    while True:
        answer = demo.site.api("GET", "/partner-dashboard/patients", query=query, headers=_signed(token))
        hold("the roster is answered", expected=HTTPStatus.OK, seen=answer.status)
        yield from answer.body["items"]
        if answer.body["nextCursor"] is None:
            return
        query["cursor"] = answer.body["nextCursor"]


def _ids(roster: list[Json]) -> set[str]:
    return {str(item["patientId"]) for item in roster}


def _row(item: Json) -> tuple[str, ...]:
    first, _, last = item["name"].partition(" ")
    who, following = initials(first, last), item["nextAppointment"]
    if following is None:
        return who, f"consent {item['consent']}", "", ""
    place = (following["location"] or {}).get("kind") or ""
    return who, following["start"][:16].replace("T", " "), f"link {following['joinLink']}", place
