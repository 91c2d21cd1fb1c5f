"""The practice as it was found: started, loaded, and which payers it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from local.demo.demo import Demo, Json, Step
from local.demo.report import columns, hold
from local.stack import LOAD_REPORT

_ACCEPTED_AHEAD = timedelta(days=30)
_TABLES = ("organizations", "patients", "providers", "payers", "services", "service_instances", "appointments")


def started(demo: Demo) -> Step:
    """Show that everything answers."""
    health = demo.site.get("/health")
    hold("the functions reach the database", expected=("ok", "ok"), seen=(health["status"], health["database"]))
    yield f"Everything is up after {demo.start_seconds:.1f} s; it is {demo.site.now():%Y-%m-%d %H:%M} UTC there."
    yield from columns(
        [
            ("HTTP API", demo.site.description["apiUrl"]),
            ("Lambda, for boto3", demo.site.description["lambdaUrl"]),
            ("EHR (IntakeQ)", demo.ehr.url),
        ]
    )


def loaded(demo: Demo) -> Step:
    """Show that every row of the clinic file is here, and what was odd among them."""
    here, file = demo.site.export(), demo.options.clinic
    for table, rows in file.items():
        if isinstance(rows, list) and table != "sync_logs":
            hold(f"every row of {table} was loaded", expected=len(rows), seen=len(here[table]))
    yield ", ".join(f"{len(here[table])} {table.replace('_', ' ')}" for table in _TABLES)
    ready = _service_ready(here)
    yield f"{len(ready)} of {len(here['payers'])} payers are service-ready (a live, mapped intake instance):"
    yield f"  {', '.join(ready) or 'none'}"
    yield "Odd, and kept as it is:"
    yield from (f"  {line}" for line in _odd((demo.logs / LOAD_REPORT).read_text().splitlines()))


def _service_ready(export: Json) -> list[str]:
    required = {each["service_id"] for each in export["practice"]["default_services"] if each["required"]}
    mapped = {row["service_instance_id"] for row in export["service_instance_integrations"]}
    ready = {
        row["payer_id"]
        for row in export["service_instances"]
        if row["service_id"] in required and row["id"] in mapped and row["retired_at"] is None
    }
    return sorted(payer["name"].strip() for payer in export["payers"] if payer["id"] in ready)


def _odd(report: list[str]) -> Iterator[str]:
    """Yield what the loader found odd: how often, and of which kind, without the ids."""
    rows = [line.partition(":")[0].split() for line in report if ":" in line]
    yield from columns((count, kind.replace("_", " ")) for count, kind in (row for row in rows if len(row) == 2))  # noqa: PLR2004


def accepted(demo: Demo) -> Step:
    """Show which payers are taken, each held against the contracts of the clinic file."""
    payers = list(demo.payers())
    clinic = demo.options.clinic
    hold("every payer is listed", expected=len(clinic["payers"]), seen=len(payers))
    today = demo.site.now().astimezone(ZoneInfo(clinic["practice"]["timezone"])).date()
    rows = {row["id"]: row for row in clinic["payers"]}
    for payer in payers:
        hold(
            f"the acceptance of {payer['name']} follows from its contracts",
            expected=_acceptance(clinic, rows[payer["id"]], today),
            seen=payer["acceptance"],
        )
    yield f"All {len(payers)} answers follow from the payers' contracts on {today}:"
    yield from columns(_summary(payers))


def _summary(payers: Iterable[Json]) -> Iterator[tuple[str, int, str]]:
    by_status: dict[str, list[Json]] = {}
    for payer in payers:
        by_status.setdefault(payer["acceptance"]["status"], []).append(payer)
    for status, found in sorted(by_status.items()):
        begins = found[0]["acceptance"]["from"]
        yield status, len(found), f"such as {found[0]['name']}" + (f", from {begins}" if begins else "")


def _acceptance(clinic: Json, payer: Json, today: date) -> dict[str, str | None]:
    """Say by the file alone whether a payer is taken."""
    if payer.get("status_code") in ("suspended", "rejected"):
        return {"status": "lead", "from": None}
    if payer["type"] == "self_pay":
        return {"status": "accepted", "from": None}
    begins = min(_beginnings(clinic, payer["id"], today), default=None)
    if begins is None or begins > today + _ACCEPTED_AHEAD:
        return {"status": "lead", "from": None}
    return {"status": "accepted_from", "from": str(begins)} if begins > today else {"status": "accepted", "from": None}


def _beginnings(clinic: Json, payer_id: str, today: date) -> Iterator[date]:
    active = {provider["id"] for provider in clinic["providers"] if provider["active"]}
    for contract in clinic["provider_payer_networks"]:
        counts = contract["status"] == "active" and contract["provider_id"] in active
        if counts and contract["payer_id"] == payer_id and contract["effective_date"]:
            end = contract.get("end_date")
            if end is None or date.fromisoformat(end) >= today:
                yield date.fromisoformat(contract["effective_date"])
