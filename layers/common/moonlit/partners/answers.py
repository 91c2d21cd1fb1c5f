"""The JSON of the partner dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, StringConstraints

from moonlit.booking.statuses import shown_status
from moonlit.partners.progress import Progress
from moonlit.partners.rules import join_link
from moonlit.sync.single_answer import Summary
from moonlit.web.models import Line, Modality, Model, Named, Place

type Status = Literal["pending", "scheduled", "confirmed", "completed", "cancelled", "declined", "no_show"]
type SyncType = Literal["manual_patient", "manual_org", "automated_daily", "webhook"]
# What stands for those who are not of the organization that reads it.
_OTHERS = {"staff": "Practice staff", "partner": "Partner"}
_SYSTEMS = {
    "automated_daily": "Nightly sync",
    "webhook": "EHR",
    "sync": "EHR",  # Another house asked: nothing may tell that from a change that the EHR told of.
    "manual_org": "Practice",
    "manual_patient": "Practice",
}

Sought = Annotated[Line, Field(max_length=100)]
FeedToken = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


class PartnerVisit(Model):
    """A visit as a partner sees it; `meetingUrl` only while `joinLink` is ready."""

    appointment_id: UUID
    start: AwareDatetime
    end: AwareDatetime
    status: Status
    provider: Named | None
    modality: Modality | None
    meeting_url: str | None
    join_link: Literal["none", "later", "ready", "expired"]
    location: Place | None


class RosterItem(Model):
    """A patient, the visit that comes next, and how fresh that is; without consent no visit is told."""

    patient_id: UUID
    name: str
    provider: Named | None
    next_appointment: PartnerVisit | None
    last_synced_at: AwareDatetime | None
    consent: Literal["active", "expired", "missing"]


class RosterPage(Model):
    """A page of patients, by name."""

    items: list[RosterItem]
    next_cursor: str | None


class TimelineItem(Model):
    """What a sync changed."""

    at: AwareDatetime
    by: str
    summary: Summary


class PatientAnswer(RosterItem):
    """A patient with their visits and what syncs changed, the latest first."""

    appointments: list[PartnerVisit]
    timeline: list[TimelineItem]


class HistoryItem(Model):
    """A refresh of a patient."""

    synced_at: AwareDatetime
    triggered_by: str
    type: SyncType
    summary: Summary


class HistoryAnswer(Model):
    """Every refresh of a patient, the latest first."""

    patient: Named
    last_sync: AwareDatetime | None
    history: list[HistoryItem]


class SyncStarted(Model):
    """The refresh that is under way."""

    sync_id: UUID


class PatientProgress(Model):
    """How far a patient of a refresh is."""

    patient_id: UUID
    patient_name: str
    status: Literal["queued", "syncing", "synced", "error"]
    summary: Summary


class SyncProgress(Model):
    """How far a refresh is."""

    sync_id: UUID
    status: Literal["queued", "in_progress", "completed", "failed", "partial"]
    organization_name: str
    patients_total: int
    patients_processed: int
    total_summary: Summary
    patient_results: list[PatientProgress]
    started_at: AwareDatetime
    completed_at: AwareDatetime | None


class CalendarToken(Model):
    """What opens the calendar feed. It is shown this once."""

    token: str
    url: str

    @classmethod
    def of(cls, token: str) -> Self:
        """Return a token with the address that a calendar program subscribes to, below that of the API."""
        return cls(token=token, url=f"/partner-dashboard/calendar.ics?token={token}")


def full_name(row: Mapping[str, Any]) -> str:
    """Return a patient's name."""
    return f"{row['first_name'].strip()} {row['last_name'].strip()}".strip()


def roster_item(row: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> RosterItem:
    """Return a row of `Roster.page`, instants in `zone`."""
    upcoming = visit(row, zone, now) if row["appointment_id"] else None
    latest = _named(row["latest_provider_id"], row["latest_provider_name"])
    return RosterItem(
        patient_id=row["patient_id"],
        name=full_name(row),
        provider=upcoming.provider if upcoming else latest,
        next_appointment=upcoming,
        last_synced_at=_local(row["synced_at"], zone),
        consent=row["consent"],
    )


def visit(row: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> PartnerVisit:
    """Return a visit as it may be shown at `now`, instants in `zone`."""
    link = join_link(row["meeting_url"], row["status"], row["start"], row["end"], now)
    place = row["location_info"]
    return PartnerVisit(
        appointment_id=row["appointment_id"],
        start=row["start"].astimezone(zone),
        end=row["end"].astimezone(zone),
        status=shown_status(row["status"], row["end"], now),
        provider=_named(row["provider_id"], row["provider_name"]),
        modality=row["modality"],
        meeting_url=row["meeting_url"] if link == "ready" else None,
        join_link=link,
        location=Place(name=place["name"], kind=place["kind"]) if place else None,
    )


def timeline_item(row: Mapping[str, Any], zone: ZoneInfo) -> TimelineItem:
    """Return a row of `Roster.timeline`."""
    return TimelineItem(
        at=row["at"].astimezone(zone),
        by=row["actor_name"] or _who(row["actor"], row["actor"]),
        summary=Summary.of(row["details"]),
    )


def history_item(row: Mapping[str, Any], zone: ZoneInfo) -> HistoryItem:
    """Return a row of `Roster.history`."""
    return HistoryItem(
        synced_at=row["at"].astimezone(zone),
        triggered_by=row["name"] or _who(row["requested_by"] or row["sync_type"], row["sync_type"]),
        type=row["sync_type"],
        summary=Summary.of(row),
    )


def progress_answer(found: Progress, zone: ZoneInfo) -> SyncProgress:
    """Return how far a refresh is."""
    results = [
        PatientProgress(
            patient_id=row["patient_id"],
            patient_name=row["name"],
            status=found.status_of(row),
            summary=Summary.of(row),
        )
        for row in found.patients
    ]
    summaries = [each.summary for each in results]
    return SyncProgress(
        sync_id=found.refresh["id"],
        status=found.status,
        organization_name=found.refresh["organization_name"],
        patients_total=len(results),
        patients_processed=sum(each.status in ("synced", "error") for each in results),
        # Of those who left meanwhile the numbers stay.
        total_summary=Summary.total(map(Summary.of, map(asdict, found.parts)) if found.is_over else summaries),
        patient_results=results,
        started_at=found.refresh["requested_at"].astimezone(zone),
        completed_at=_local(found.refresh["finished_at"], zone),
    )


def _named(key: UUID | None, name: str | None) -> Named | None:
    return Named(id=key, name=name or "") if key else None


def _local(instant: datetime | None, zone: ZoneInfo) -> datetime | None:
    return instant.astimezone(zone) if instant else None


def _who(actor: str, sync_type: str) -> str:
    """Return who it was without a name: `actor` is `partner:<id>`, `staff:<id>` or a kind of sync."""
    return _OTHERS.get(actor.partition(":")[0]) or _SYSTEMS.get(actor) or _SYSTEMS.get(sync_type, "Practice")
