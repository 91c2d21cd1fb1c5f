"""Two nights: everything is read once, then only what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local.demo.agreement import Export, agreement, changes, client_numbers, visits_here
from local.demo.demo import Demo, Step
from local.demo.ehr import ACTIVE, Calendar, instant, milliseconds
from local.demo.report import columns, hold, require, until

_PAGE_ROWS = 100
_BESIDES = 2  # The days that the window has newly reached, and what was deleted.
_PAUSES = 30  # A pull may wait for the next minute's budget this often.
_SHOWN = 4
_APPLYING_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Night:
    """A finished run: its requests as the simulator listed them, and an export made after it."""

    began: datetime
    requests: list[dict[str, Any]]
    export: Export


def first_night(demo: Demo) -> Step:
    """Read the whole window once; every visit of a known patient is here afterwards."""
    night = _night(demo)
    yield f"sync_cron, invoked by boto3: completed with {len(night.requests)} requests to the EHR."
    yield from _organizations(night)
    yield from _agreed(demo, night.export)


def second_night(demo: Demo) -> Step:
    """Let the calendar change behind our back and read only that."""
    before = demo.ehr.calendar()
    _change_calendar(demo)
    after = demo.ehr.calendar()
    changed = changes(before, after)
    words = ", ".join(f"{count} {word}" for word, count in sorted(Counter(changed.values()).items()))
    yield f"In the EHR, by {demo.site.now():%Y-%m-%d %H:%M} UTC: {words}."
    require(bool(changed), "something has changed in the EHR", expected="a change", seen="none")
    night = _night(demo)
    yield f"sync_cron again, {len(night.requests)} requests for everybody:"
    yield from (f"  {_asked(request)}" for request in night.requests)
    count, most = len(night.requests), _pages_of_changes(night, after) + _BESIDES
    require(count <= most, "requests grow with what changed", expected=f"at most {most}", seen=count)
    hold(
        "nobody is asked for one by one",
        expected=[],
        seen=[r["path"] for r in night.requests if "client" in r["query"]],
    )
    yield from _organizations(night)
    yield from _here_now(demo, night, after, changed)
    yield from _agreed(demo, night.export)


def _night(demo: Demo) -> Night:
    """Run the nightly sync to its end; while the account's budget is spent, minutes pass."""
    demo.site.let_a_minute_pass()
    demo.ehr.forget_requests()
    began = demo.site.now()
    for _ in range(_PAUSES):
        run = _run(demo, demo.site.invoke("sync_cron", {"waitSeconds": 0})["runId"])
        if run["state"] != "pulling":
            break
        demo.site.let_a_minute_pass()
    ended = run["state"] if run["error"] is None else f"{run['state']} ({run['error']})"
    hold("the run is completed", expected="completed", seen=ended)
    requests = demo.ehr.requests()
    hold("the run counts its requests as the EHR does", expected=len(requests), seen=run["requests_used"])
    return Night(began, requests, demo.site.export())


def _run(demo: Demo, run_id: str) -> Mapping[str, Any]:
    """Return the run once its workers are through, or its pull has to wait."""
    query = "select state, error, requests_used from sync_runs where id = cast(:id as uuid) and state <> 'applying'"
    return until(
        lambda: next(iter(demo.site.rows(query, id=run_id)), None),
        "the run's workers come to an end",
        seconds=_APPLYING_SECONDS,
    )


def _organizations(night: Night) -> Iterator[str]:
    names = {row["id"]: row["name"] for row in night.export["organizations"]}
    logs = [
        log
        for log in night.export["sync_logs"]
        if log["sync_type"] == "automated_daily" and datetime.fromisoformat(log["started_at"]) >= night.began
    ]
    counted = ("new", "updated", "unchanged", "errors")
    rows = [
        (names.get(log["organization_id"], "patients of no organization"), *(log["counts"][name] for name in counted))
        for log in sorted(logs, key=lambda log: names.get(log["organization_id"], "~"))
    ]
    active = sum(bool(row["active"]) for row in night.export["organizations"])
    hold("each active organization has its log, and the other patients theirs", expected=active + 1, seen=len(rows))
    yield from (f"  {line}" for line in columns([("", *counted), *rows]))


def _agreed(demo: Demo, export: Export) -> Iterator[str]:
    found = agreement(export, demo.ehr.calendar(), demo.site.now())
    hold("every visit is the same here and in the EHR", expected="no differences", seen=_few(found.differences))
    yield f"{found.compared} visits compared one by one with the EHR's own rows: same start, end and status."
    yield f"{found.strangers} more belong to clients who are no patients here; {found.unread} lie outside the window."


def _few(differences: list[str]) -> str:
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return "; ".join(differences[:_SHOWN]) + more or "no differences"


def _change_calendar(demo: Demo) -> None:
    """Move the clock past the account file's changes; where it has none, let the practice's staff make some."""
    if demo.ehr.pending_changes():
        last = max(change["at"] for change in demo.options.intakeq_account["changes"])
        demo.site.move_clock(max(instant(last), demo.site.now()) + timedelta(minutes=1))
        hold("the clock has passed every change of the account", expected=0, seen=demo.ehr.pending_changes())
        return
    coming = _coming(demo)
    demo.site.move_clock(demo.site.now() + timedelta(hours=1))
    for row in coming[:2]:
        later = instant(row["StartDate"]) + timedelta(days=1)
        demo.ehr.staff("update", id=row["Id"], fields={"StartDate": milliseconds(later)})
    for row in coming[2:3]:
        demo.ehr.staff("cancel", id=row["Id"])
    for row in coming[3:4]:
        demo.ehr.staff("delete", id=row["Id"])


def _coming(demo: Demo) -> list[dict[str, Any]]:
    """Return active visits of known patients that lie ahead, the nearest first, without those booked here."""
    soon = milliseconds(demo.site.now() + timedelta(days=1))
    numbers = client_numbers(demo.site.export())
    ours = demo.booked.external_id if demo.booked else None
    rows = [
        dict(row)
        for row in demo.ehr.calendar().standing.values()
        if row["Status"] in ACTIVE and row["StartDate"] > soon and str(row["ClientId"]) in numbers and row["Id"] != ours
    ]
    return sorted(rows, key=lambda row: int(row["StartDate"]))


def _pages_of_changes(night: Night, calendar: Calendar) -> int:
    """Return how many pages everything fills that has changed since the day that the night asked from."""
    days = [request["query"]["updatedSince"] for request in night.requests if "updatedSince" in request["query"]]
    require(bool(days), "the night asks for changes only", expected="updatedSince", seen="no such question")
    since = milliseconds(datetime.fromisoformat(f"{min(days)}T00:00:00+00:00"))
    changed = [row for row in calendar.standing.values() if row["LastModified"] >= since]
    return len(changed) // _PAGE_ROWS + 1


def _asked(request: dict[str, Any]) -> str:
    query = "&".join(f"{name}={value}" for name, value in request["query"].items())
    return f"{request['method']} {request['path']}?{query}"


def _here_now(demo: Demo, night: Night, calendar: Calendar, changed: dict[str, str]) -> Iterable[str]:
    """Show the first few changed visits of known patients as they stand here now."""
    here, now = visits_here(night.export), demo.site.now()
    known = [external_id for external_id in sorted(changed) if external_id in here]
    for external_id in known:
        there = calendar.visit(external_id, now)
        hold(f"visit {external_id} is here as it was changed", expected=str(there), seen=str(here[external_id]))
    yield f"{len(known)} of {len(changed)} changes are about known patients, and all of these are here:"
    examples = {changed[external_id]: external_id for external_id in reversed(known)}
    yield from (f"  {line}" for line in columns((word, one, here[one]) for word, one in sorted(examples.items())))
