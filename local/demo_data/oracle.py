"""Which slots a correct system offers, found minute by minute from the two files alone.

Slow and plain on purpose, and blind to the product's code: what agrees with it agrees with the rules, not with itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

_MINUTE = timedelta(minutes=1)
_ACTIVE = ("Confirmed", "WaitingConfirmation")
_EHRS = {"intakeq": "intakeq", "practiceq": "intakeq", "athena": "athena"}
_DEFAULTS = {"min_notice_minutes": 120, "horizon_days": 60, "grid_minutes": 15}

type File = Mapping[str, Any]


@dataclass(frozen=True)
class Oracle:
    """A clinic and its IntakeQ account at one instant, every visit of the account known."""

    clinic: File
    account: File
    now: datetime

    def slots(self, payer_id: str, service_id: str, state: str, first: date, last: date) -> list[dict[str, Any]]:
        """Return the starts on the practice's days `first` to `last`, each with the ids of who is free, in order."""
        service = _by_id(self.clinic["services"])[service_id]
        found = []
        instant = datetime.combine(first, datetime.min.time(), self._zone).astimezone(UTC)
        while instant.astimezone(self._zone).date() <= last:
            providers = sorted(self._free(payer_id, service, state, instant)) if self._offered(service, instant) else []
            if providers:
                found.append({"start": f"{instant:%Y-%m-%dT%H:%M:%SZ}", "providerIds": providers})
            instant += 5 * _MINUTE  # Every grid is a multiple of five minutes.
        return found

    def _offered(self, service: File, instant: datetime) -> bool:
        notice = service.get("min_notice_minutes")
        if notice is None:
            notice = self._settings["min_notice_minutes"]
        days = (instant.astimezone(self._zone).date() - self.now.astimezone(self._zone).date()).days
        return instant >= self.now + notice * _MINUTE and days <= self._settings["horizon_days"]

    def _free(self, payer_id: str, service: File, state: str, instant: datetime) -> Iterator[str]:
        day = instant.astimezone(self._zone).date()
        for provider in self.clinic["providers"]:
            zone = ZoneInfo(provider["timezone"])
            wall = instant.astimezone(zone)
            if (wall.hour * 60 + wall.minute) % self._settings["grid_minutes"]:
                continue
            people = self._people_for(provider, payer_id, service, state, day)
            if people and all(self._has_time(person, service, instant) for person in people):
                yield provider["id"]

    def _people_for(self, provider: File, payer_id: str, service: File, state: str, day: date) -> list[File]:
        """Return who has to be free if this provider sees the patient; nobody when the provider may not."""
        if not provider["active"] or state not in provider["license_states"]:
            return []
        if service["kind"] == "intake" and not provider["accepting_new_patients"]:
            return []
        payer = _by_id(self.clinic["payers"])[payer_id]
        if payer["status_code"] in ("suspended", "rejected") or not self._mapped(payer_id, service, provider):
            return []
        if payer["type"] == "self_pay" or self._contracted(provider["id"], payer_id, day):
            return [provider]
        return self._under_supervision(provider, payer_id, day)

    def _under_supervision(self, resident: File, payer_id: str, day: date) -> list[File]:
        providers = _by_id(self.clinic["providers"])
        for row in self.clinic["supervision_relationships"]:
            attending = providers[row["attending_id"]]
            if (
                row["resident_id"] == resident["id"]
                and row["payer_id"] in (None, payer_id)
                and _in_force(row, day)
                and attending["active"]
                and self._contracted(attending["id"], payer_id, day)
            ):
                return [resident, attending] if row["level"] == "co_visit_required" else [resident]
        return []

    def _contracted(self, provider_id: str, payer_id: str, day: date) -> bool:
        return any(
            row["provider_id"] == provider_id
            and row["payer_id"] == payer_id
            and row["status"] == "active"
            and _in_force(row, day)
            for row in self.clinic["provider_payer_networks"]
        )

    def _mapped(self, payer_id: str, service: File, provider: File) -> bool:
        live = {
            row["id"]
            for row in self.clinic["service_instances"]
            if row["payer_id"] == payer_id and row["service_id"] == service["id"] and not row.get("retired_at")
        }
        return any(
            row["service_instance_id"] in live and _EHRS[row["system"]] == provider["ehr_system"]
            for row in self.clinic["service_instance_integrations"]
        )

    def _has_time(self, provider: File, service: File, start: datetime) -> bool:
        """Say whether the visit lies in the hours, and visit and buffers on nobody's time."""
        end = start + service["duration_minutes"] * _MINUTE
        blocked_from = start - service["buffer_before_minutes"] * _MINUTE
        blocked_to = end + service["buffer_after_minutes"] * _MINUTE
        busy = self._busy[_person(provider)]
        return (
            all(self._works(provider, service["modality"], minute) for minute in _minutes(start, end))
            and not any(minute in busy for minute in _minutes(blocked_from, blocked_to))
            and not self._full(provider, start)
        )

    def _works(self, provider: File, modality: str, minute: datetime) -> bool:
        for row in self.clinic["provider_hours"]:
            if row["provider_id"] != provider["id"] or row["modality"] != modality:
                continue
            wall = minute.astimezone(ZoneInfo(row["timezone"]))
            valid = (row.get("valid_from") or "0") <= f"{wall:%Y-%m-%d}" <= (row.get("valid_to") or "9")
            if valid and wall.weekday() == row["weekday"] and row["start"] <= f"{wall:%H:%M}" < row["end"]:
                return True
        return False

    def _full(self, provider: File, start: datetime) -> bool:
        cap, zone = provider.get("max_daily_appointments"), ZoneInfo(provider["timezone"])
        day = start.astimezone(zone).date()
        seen = [begins for begins, _ in self._visits[_person(provider)] if begins.astimezone(zone).date() == day]
        return cap is not None and len(seen) >= cap

    @cached_property
    def _visits(self) -> dict[str, list[tuple[datetime, datetime]]]:
        """The active visits of every person, matched to a patient or not."""
        providers = _by_id(self.clinic["providers"])
        people = {
            row["practitioner_id"]: _person(providers[row["provider_id"]])
            for row in self.clinic["provider_intakeq_settings"]
        }
        visits: dict[str, list[tuple[datetime, datetime]]] = {_person(row): [] for row in providers.values()}
        for row in self.account["appointments"]:
            if row["Status"] in _ACTIVE and row["PractitionerId"] in people:
                visits[people[row["PractitionerId"]]].append((_epoch(row["StartDate"]), _epoch(row["EndDate"])))
        return visits

    @cached_property
    def _busy(self) -> dict[str, set[datetime]]:
        busy = {
            person: {minute for visit in visits for minute in _minutes(*visit)}
            for person, visits in self._visits.items()
        }
        providers = _by_id(self.clinic["providers"])
        for row in self.clinic["provider_time_off"]:
            away = _minutes(datetime.fromisoformat(row["start"]), datetime.fromisoformat(row["end"]))
            busy[_person(providers[row["provider_id"]])].update(away)
        return busy

    @property
    def _settings(self) -> dict[str, int]:
        settings: dict[str, int] = self.clinic["practice"].get("settings", {})
        return _DEFAULTS | settings

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.clinic["practice"]["timezone"])


def _by_id(rows: list[File]) -> dict[str, File]:
    return {row["id"]: row for row in rows}


def _person(provider: File) -> str:
    return str(provider.get("person_key") or provider["id"])


def _in_force(row: File, day: date) -> bool:
    return (row["effective_date"] or "9") <= day.isoformat() <= (row["end_date"] or "9")


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += _MINUTE


def _epoch(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
