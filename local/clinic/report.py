"""What a load brought in, and what it found odd. Ids and counts only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from local.clinic.reading import IGNORED, Clinic

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that was loaded as it is, but that somebody should look at.

    Attributes:
        kind: A constant such as `orphaned_instances`.
        ids: The rows concerned, in the file's order.
    """

    kind: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as one line with the first few ids."""
        more = f" and {len(self.ids) - SHOWN} more" if len(self.ids) > SHOWN else ""
        return f"{len(self.ids):>5} {self.kind}: {', '.join(self.ids[:SHOWN])}{more}"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The rows loaded into each table, and the oddities among them; `ignored` rows were left out on purpose."""

    loaded: Mapping[str, int]
    oddities: tuple[Oddity, ...]
    ignored: Mapping[str, int]

    def ids(self, kind: str) -> tuple[str, ...]:
        """Return the rows that are odd in this way, none when there are none."""
        return next((oddity.ids for oddity in self.oddities if oddity.kind == kind), ())

    def __str__(self) -> str:
        """Return it for people to read."""
        lines = [f"{count:>5} {table}" for table, count in self.loaded.items() if count]
        lines += ["Left out:", *(f"{n:>5} {table}" for table, n in self.ignored.items())] if self.ignored else []
        lines += ["Odd, and kept as it is:", *map(str, self.oddities)] if self.oddities else []
        return "\n".join(lines)


def report_on(clinic: Clinic, retired: Iterable[UUID]) -> LoadReport:
    """Describe a file whose rows fit together and whose surplus twins, `retired`, were taken out of use."""
    found: dict[str, list[str]] = defaultdict(list)
    for kind, row_id in chain(_instances(clinic, set(retired)), _names(clinic), _people(clinic), _inactive(clinic)):
        found[kind].append(str(row_id))
    return LoadReport(
        loaded={table: len(rows) for table, rows in clinic.rows.items()},
        oddities=tuple(Oddity(kind, tuple(ids)) for kind, ids in found.items()),
        ignored={IGNORED: clinic.ignored_sync_logs} if clinic.ignored_sync_logs else {},
    )


def _instances(clinic: Clinic, retired: set[UUID]) -> Iterator[tuple[str, UUID]]:
    rows = clinic.rows["service_instances"]
    orphans = {row.id for row in rows if row.payer_id is None and row.retired_at is None}
    mapped = {row.service_instance_id for row in clinic.rows["service_instance_integrations"]}
    for row in rows:
        if row.id in orphans:
            yield "orphaned_instances", row.id
        elif row.id in retired:
            yield "duplicate_instances_retired", row.id
        elif row.retired_at is None and row.id not in mapped:
            yield "instances_without_mapping", row.id
    for visit in clinic.rows["appointments"]:
        if visit.service_instance_id in orphans:
            yield "appointments_on_orphaned_instances", visit.id


def _names(clinic: Clinic) -> Iterator[tuple[str, UUID]]:
    for table in ("organizations", "payers", "providers", "services", "locations"):
        rows = clinic.rows[table]
        yield from ((f"{table}_with_stray_blanks", row.id) for row in rows if row.name != row.name.strip())
        yield from ((f"{table}_of_one_name", row.id) for row in _alike(rows, lambda row: row.name.strip().casefold()))


def _people(clinic: Clinic) -> Iterator[tuple[str, UUID]]:
    patients = clinic.rows["patients"]
    yield from (("patients_without_birth_date", row.id) for row in patients if row.date_of_birth is None)
    yield from (("patients_sharing_an_address", row.id) for row in _alike(patients, _address))
    settled = {
        system: {row.provider_id for row in clinic.rows[f"provider_{system}_settings"]}
        for system in ("intakeq", "athena")
    }
    for provider in clinic.rows["providers"]:
        if provider.active and provider.id not in settled[provider.ehr_system]:
            yield "providers_without_ehr_settings", provider.id
    yield from (("appointments_without_provider", row.id) for row in clinic.rows["appointments"] if not row.provider_id)


def _inactive(clinic: Clinic) -> Iterator[tuple[str, UUID]]:
    """Find what still counts on something that is out of use."""
    rows = clinic.rows
    providers = {row.id for row in rows["providers"] if not row.active}
    services = {row.id for row in rows["services"] if not row.is_active}
    organizations = {row.id for row in rows["organizations"] if not row.active}
    instances = {row.id for row in rows["service_instances"] if row.retired_at}
    conditions: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
        ("contracts_of_inactive_providers", "provider_payer_networks",
         lambda row: row.status == "active" and row.provider_id in providers),
        ("supervision_with_inactive_providers", "supervision_relationships",
         lambda row: not providers.isdisjoint((row.resident_id, row.attending_id))),
        ("instances_of_inactive_services", "service_instances",
         lambda row: row.retired_at is None and row.service_id in services),
        ("affiliations_to_inactive_organizations", "patient_organization_affiliations",
         lambda row: row.status == "active" and row.organization_id in organizations),
        ("coming_appointments_with_inactive_providers", "appointments",
         lambda row: row.start > clinic.as_of and row.provider_id in providers),
        ("appointments_on_retired_instances", "appointments",
         lambda row: row.service_instance_id in instances),
    )  # fmt: skip
    for kind, table, is_odd in conditions:
        yield from ((kind, row.id) for row in rows[table] if is_odd(row))


def _address(patient: Any) -> str | None:
    return (patient.email or "").strip().casefold() or None


def _alike(rows: Iterable[Any], key: Callable[[Any], Hashable]) -> list[Any]:
    """Return the rows whose key another row has too; None is no key."""
    rows = list(rows)
    count = Counter(map(key, rows))
    return [row for row in rows if key(row) is not None and count[key(row)] > 1]
