"""One service merged into another that is the same but for its id: whatever refers to it refers to the other one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from moonlit.audit.store import Actor, Audit
from moonlit.catalog.errors import (
    CatalogContended,
    MergeIntoInactive,
    MergeIntoItself,
    ServicesUnlike,
    VisitsWouldChangeLength,
)
from moonlit.catalog.merging_rules import unlike
from moonlit.catalog.merging_store import MERGED, Merge, Twin
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.errors import NotFound
from moonlit.observability import logger
from moonlit.web.malformed import in_body
from moonlit.web.models import Model


class MergeWanted(Model):
    """Into which service."""

    into: UUID


class TwinRetired(Model):
    """An instance that the other service has too, `into`: its visits are that one's, and the mappings it lacked."""

    service_instance_id: UUID
    into: UUID
    appointments: int
    mappings: list[Literal["intakeq", "athena"]]


class ServicesMerged(Model):
    """What was moved: all visits and holds, live instances as they are or into twins, entries of the defaults."""

    service_id: UUID
    into: UUID
    appointments: int
    holds: int
    instances_moved: list[UUID]
    instances_retired: list[TwinRetired]
    default_services: int

    def told(self, *, dry_run: bool) -> MergeAnswer:
        """Return it as an answer, with whether it is so or would be."""
        return MergeAnswer(**self.model_dump(by_alias=False), dry_run=dry_run)

    def is_empty(self) -> bool:
        """Tell whether nothing was there to be moved."""
        moved = (self.appointments, self.holds, self.instances_moved, self.instances_retired, self.default_services)
        return not any(moved)

    def followed_by(self, later: ServicesMerged) -> ServicesMerged:
        """Return what this merge and the one after it have moved together."""
        return ServicesMerged(
            service_id=self.service_id,
            into=self.into,
            appointments=self.appointments + later.appointments,
            holds=self.holds + later.holds,
            instances_moved=[*self.instances_moved, *later.instances_moved],
            instances_retired=[*self.instances_retired, *later.instances_retired],
            default_services=self.default_services + later.default_services,
        )


class MergeAnswer(ServicesMerged):
    """What was moved, or with a dry run would be."""

    dry_run: bool


@dataclass(frozen=True, slots=True)
class Merging:
    """Merges services."""

    begin: Begin
    clock: Clock

    def merge(self, source: UUID, target: UUID, actor: Actor, *, dry_run: bool) -> ServicesMerged:
        """Move everything from one service to another in one transaction, and let the first be out of use.

        The same merge again answers what the first did; a booking that was under way meanwhile moves then too. A dry
        run does it all and takes it back, so that it answers what a merge would.

        Raises:
            NotFound: There is no such service.
            RequestValidationError: There is none to merge it into.
            MergeIntoItself: They are one.
            MergeIntoInactive: The other one is out of use.
            ServicesUnlike: They differ in what visits rely on.
            VisitsWouldChangeLength: They differ in length, and visits to come or live holds are of the first.
            CatalogContended: Others were at the same visits, twice in a row.
        """
        contended = CatalogContended(f"service {source}")
        merged = retried_once(lambda: self._merge(source, target, actor, dry_run=dry_run), contended)
        if not dry_run:
            logger.info("services_merged", service_id=str(source), into=str(target), appointments=merged.appointments)
        return merged

    def _merge(self, source: UUID, target: UUID, actor: Actor, *, dry_run: bool) -> ServicesMerged:
        with self.begin() as connection, connection.begin_nested() as savepoint:
            case = _Case(connection, Merge(connection, source, target, self.clock.now()), source, target)
            merged, before = case.run()
            if before is not None:
                after = merged.model_dump(mode="json", by_alias=True)
                audit = Audit(connection, actor, self.clock.now())
                audit.changed(MERGED, "service", source, before=before, after=after)
            if dry_run:
                savepoint.rollback()
        return merged


@dataclass(frozen=True, slots=True)
class _Case:
    """A merge in its transaction."""

    connection: sa.Connection
    merge: Merge
    source_id: UUID
    target_id: UUID

    def run(self) -> tuple[ServicesMerged, dict[str, Any] | None]:
        """Return what is merged in all, and what was before, None when this changed nothing."""
        source, target = self.merge.locked()
        if source is None:
            raise NotFound(f"service {self.source_id}")
        if target is None:
            raise in_body("unknown_id", "into")
        if source["id"] == target["id"]:
            raise MergeIntoItself(f"service {self.source_id}")
        earlier = None if source["is_active"] else self._earlier()
        if earlier and not target["is_active"]:
            return earlier, None  # That one was merged further since.
        self._check(source, target)
        before = {"isActive": source["is_active"], "liveInstances": [*map(str, self.merge.live_instances())]}
        moved = self._move()
        if earlier:
            return (earlier, None) if moved.is_empty() else (earlier.followed_by(moved), before)
        return moved, before

    def _earlier(self) -> ServicesMerged | None:
        kept = self.merge.earlier()
        earlier = ServicesMerged.model_validate(kept) if kept else None
        return earlier if earlier and earlier.into == self.target_id else None

    def _check(self, source: Any, target: Any) -> None:
        if not target["is_active"]:
            raise MergeIntoInactive(f"service {self.target_id}")
        if differing := unlike(source, target):
            raise ServicesUnlike(f"services {self.source_id} and {self.target_id}", differing=differing)
        if source["duration_minutes"] != target["duration_minutes"]:
            visits, holds = self.merge.coming()
            if visits or holds:
                raise VisitsWouldChangeLength(f"service {self.source_id}", futureVisits=visits, liveHolds=holds)

    def _move(self) -> ServicesMerged:
        twins = self.merge.retire_twins()
        defaults = self.merge.move_defaults()
        instances, visits, holds = self.merge.move()
        self.merge.close()
        return ServicesMerged(
            service_id=self.source_id,
            into=self.target_id,
            appointments=visits,
            holds=holds,
            instances_moved=instances,
            instances_retired=[_retired(twin) for twin in twins],
            default_services=defaults,
        )


def _retired(twin: Twin) -> TwinRetired:
    return TwinRetired(
        service_instance_id=twin.instance_id,
        into=twin.kept_id,
        appointments=twin.appointments,
        mappings=list(twin.systems),
    )
