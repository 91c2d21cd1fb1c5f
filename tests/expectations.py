"""Hold what a stack answers and exports against what a correct system makes of its files.

Every function returns the differences as lines, none when all is well; `expected` has the shape of
`local.demo_data.expected()`. Instants are compared as instants, in whichever zone they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

type Json = Mapping[str, Any]
type Night = Literal["first", "second"]

_INTAKEQ = ("intakeq", "practiceq")


def acceptance_differences(payers: Iterable[Json], expected: Json) -> list[str]:
    """Compare all items of `GET /payers`."""
    got = {payer["name"].strip(): payer["acceptance"] for payer in payers}
    return list(_compared("acceptance of", got, expected["acceptance"], _acceptance))


def slot_differences(ask: Callable[[Json], Json], expected: Json) -> list[str]:
    """Compare the slots after the first night; `ask` takes the query of `GET /availability` and returns its answer."""
    found: list[str] = []
    for case in expected["slotsAfterFirstNight"]:
        answer = ask({name: case[name] for name in ("payerId", "serviceId", "state", "from", "to")})
        got = {_instant(slot["start"]): slot for slot in answer["slots"]}
        want = {_instant(slot["start"]): slot for slot in case["slots"]}
        found += _compared(f"{case['payer']} ({case['serviceId'][:8]}, {case['state']}) at", got, want, _free)
    return found


def night_differences(export: Json, expected: Json, night: Night) -> list[str]:
    """Compare an export: every visit that the EHR's side brought, and the counts of the night's run."""
    want = dict(expected["firstNight"]["appointments"])
    if night == "second":
        want |= expected["secondNight"]["appointments"]
    got = {
        row["external_id"]: _as_expected(row)
        for row in export["appointments"]
        if row["system"] in _INTAKEQ and row["external_id"]
    }
    summaries = expected[f"{night}Night"]["summaries"]
    runs = {organization: _run(export, organization, night) for organization in summaries}
    return [*_compared("visit", got, want, _visit), *_compared("counts of", runs, summaries, dict)]


def roster_differences(rows: Iterable[Json], expected: Json, night: Night) -> list[str]:
    """Compare the next visits in all items of `GET /partner-dashboard/patients`; without consent there is none."""
    upcoming = expected[f"{night}Night"]["next"]
    rows = list(rows)
    got = {row["patientId"]: row["nextAppointment"] for row in rows}
    want = {row["patientId"]: upcoming.get(row["patientId"]) if row["consent"] == "active" else None for row in rows}
    return list(_compared("next visit of", got, want, lambda visit: visit and _instant(visit["start"])))


def _compared(what: str, got: Mapping[Any, Any], want: Mapping[Any, Any], form: Callable[[Any], Any]) -> Iterator[str]:
    for key in sorted(got.keys() | want.keys(), key=str):
        if key not in got:
            yield f"{what} {key} is missing"
        elif key not in want:
            yield f"{what} {key} should not be there"
        elif form(got[key]) != form(want[key]):
            yield f"{what} {key}: {form(got[key])}, expected {form(want[key])}"


def _acceptance(answer: Json) -> tuple[str, str | None]:
    return answer["status"], answer["from"]


def _free(slot: Json) -> list[str]:
    return sorted(slot["providerIds"])


def _visit(row: Json) -> dict[str, Any]:
    return dict(row) | {"start": _instant(row["start"])}


def _as_expected(row: Json) -> dict[str, Any]:
    return {
        "patientId": row["patient_id"],
        "providerId": row["provider_id"],
        "start": row["start"],
        "status": row["status"],
        "meetingUrl": row["meeting_url"],
        "locationKind": (row["location_info"] or {}).get("kind"),
    }


def _run(export: Json, organization: str, night: Night) -> Json:
    """Return the counts of an organization's first or second nightly run; empty when there was none."""
    runs = [
        log
        for log in export["sync_logs"]
        if log["organization_id"] == organization and log["sync_type"] == "automated_daily"
    ]
    runs.sort(key=lambda log: _instant(log["started_at"]))
    position = 0 if night == "first" else 1
    counts: Json = runs[position]["counts"] if position < len(runs) else {}
    return counts


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
