"""Payers that are bookable by themselves: the backfill of those that were there, and a new one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from local.demo.demo import Demo, Json, Step
from local.demo.http import Answer
from local.demo.report import columns, given, hold, require, until

_READY_SECONDS = 20.0
_KINDS = ("create_instance", "create_mapping", "repair_mapping", "retire_duplicate", "remove_orphan")


def backfill(demo: Demo) -> Step:
    """Show what it takes to make the payers bookable, hold it against the clinic file, and do it."""
    admin = _admin(demo)
    before = _rows(demo)
    dry = demo.site.invoke("backfill", {"mode": "dryRun", "requestedBy": admin["email"]})
    zone = ZoneInfo(demo.options.clinic["practice"]["timezone"])
    expected = _expected(demo.options.clinic, demo.site.now().astimezone(zone).date())
    hold("the dry run follows from the clinic file", expected=expected, seen=_told(dry))
    hold("a dry run changes nothing", expected=True, seen=_rows(demo) == before)
    yield "backfill, invoked by boto3 with the strategy hybrid; the dry run says:"
    yield from (f"  {line}" for line in columns((expected[kind], kind.replace("_", " ")) for kind in _KINDS))
    applied = demo.site.invoke("backfill", {"mode": "apply", "requestedBy": admin["email"]})
    hold("applying does exactly that", expected=_steps(dry), seen=_steps(applied))
    again = demo.site.invoke("backfill", {"mode": "apply", "requestedBy": admin["email"]})
    hold("a second time there is nothing to do", expected=0, seen=again["actionsTotal"])
    counts = applied["counts"]
    overview = _as_admin(demo, "GET", "/admin/bookability")
    hold("the overview counts as many", expected=counts["serviceReadyAfter"], seen=overview["serviceReady"])
    yield (
        f"Applied: {counts['serviceReadyAfter']} of {counts['payersTotal']} payers are service-ready now, "
        f"{counts['serviceReadyBefore']} were; {overview['bookable']} are bookable. A second run is empty."
    )
    names = ", ".join(payer["payerName"] for payer in applied["forReview"]) or "none"
    yield f"Left for somebody to decide, with neither contract nor status: {names}."


def new_payer(demo: Demo) -> Step:
    """Create a payer with a contract and nothing else: it is bookable within moments."""
    offer = given(demo.offer, "offer")
    contract = {"providerId": offer.provider["id"], "effectiveDate": "2020-01-01", "status": "active"}
    body = {"name": f"Fern Mutual {uuid4().hex[:6]}", "type": "private", "statusCode": "approved", "state": offer.state,
            "contracts": [contract]}  # fmt: skip
    began = demo.site.now()
    payer_id = _as_admin(demo, "POST", "/admin/payers", body, status=201)["id"]
    intake = until(
        lambda: next((one for one in _services(demo, payer_id) if one["kind"] == "intake"), None),
        "the new payer is service-ready",
        seconds=_READY_SECONDS,
    )
    seconds = (demo.site.now() - began).total_seconds()
    yield f"POST /admin/payers, and nothing else: its intake was bookable {seconds:.1f} s later."
    slots = demo.slots(payer_id, intake["id"], offer.state)["slots"]
    require(bool(slots), "the new payer has free slots", expected="slots", seen="none")
    trail = _as_admin(demo, "GET", "/admin/audit-log", entityId=payer_id)["items"]
    hold("who made it is on record", expected="staff", seen=trail[-1]["actor"]["kind"])
    yield f"{len(slots)} slots in the coming weeks; the audit log says who made it."


def _as_admin(demo: Demo, method: str, path: str, body: Any = None, *, status: int = 200, **query: Any) -> Json:
    token = demo.site.description["tokens"][_admin(demo)["email"]]
    answer: Answer = demo.site.api(method, path, body, query=query, headers={"Authorization": f"Bearer {token}"})
    hold(f"{method} {path} is answered", expected=status, seen=answer.status)
    return dict(answer.body)


def _admin(demo: Demo) -> Json:
    return given(next((one for one in demo.options.clinic["staff_users"] if one["role"] == "admin"), None), "admin")


def _rows(demo: Demo) -> Json:
    return {table: rows for table, rows in demo.site.export().items() if table != "as_of"}


def _services(demo: Demo, payer_id: str) -> list[Json]:
    return list(demo.site.get("/services", payerId=payer_id)["items"])


def _told(run: Json) -> dict[str, Any]:
    """Return what a run says, in the terms of `_expected`."""
    counted = Counter(action["action"] for action in run["actions"])
    return {
        **{kind: counted[kind] for kind in _KINDS},
        "forReview": sorted(payer["payerName"] for payer in run["forReview"]),
    }


def _steps(run: Json) -> list[Json]:
    return [{name: value for name, value in action.items() if name != "state"} for action in run["actions"]]


def _expected(clinic: Json, today: date) -> dict[str, Any]:
    """Work out by the file alone what the strategy hybrid has to do, in the simplest way."""
    mapped: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in clinic["service_instance_integrations"]:
        mapped[row["service_instance_id"]][row["system"].replace("practiceq", "intakeq")] = row["external_id"]
    visits = Counter(row.get("service_instance_id") for row in clinic["appointments"])
    twins: defaultdict[tuple[Any, ...], list[Json]] = defaultdict(list)
    for row in clinic["service_instances"]:
        if row["payer_id"] and not row.get("retired_at"):
            twins[row["payer_id"], row["service_id"], row["location"], row["pos_code"]].append(row)
    live = {
        offer: min(rows, key=lambda row: (not mapped[row["id"]], -visits[row["id"]], row["id"]))
        for offer, rows in twins.items()
    }
    counted: Counter[str] = Counter(
        retire_duplicate=sum(len(rows) - 1 for rows in twins.values()),
        remove_orphan=sum(not row["payer_id"] and not visits[row["id"]] for row in clinic["service_instances"]),
    )
    review = []
    for payer in clinic["payers"]:
        contracted, status = _is_contracted(clinic, payer["id"], today), payer.get("status_code")
        if status is None and not contracted:
            review.append(payer["name"].strip())
        if status not in ("suspended", "rejected") and (contracted or status):
            counted.update(_missing(clinic, payer["id"], live, mapped))
    return {**{kind: counted[kind] for kind in _KINDS}, "forReview": sorted(review)}


def _missing(
    clinic: Json, payer_id: str, live: Mapping[tuple[Any, ...], Json], mapped: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    for default in clinic["practice"]["default_services"]:
        found = live.get((payer_id, default["service_id"], default["location"], default["pos_code"]))
        if found is None:
            yield "create_instance"
        ids = mapped.get(found["id"], {}) if found else {}
        for system, external_id in default["mappings"].items():
            if system not in ids:
                yield "create_mapping"
            elif ids[system] != external_id:
                yield "repair_mapping"


def _is_contracted(clinic: Json, payer_id: str, today: date) -> bool:
    return any(
        row["status"] == "credentialing_in_progress"
        or (row["status"] == "active" and (not row.get("end_date") or date.fromisoformat(row["end_date"]) >= today))
        for row in clinic["provider_payer_networks"]
        if row["payer_id"] == payer_id
    )
