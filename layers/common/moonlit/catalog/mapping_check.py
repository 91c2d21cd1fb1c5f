"""Our mappings held against what each EHR has: one that does not answer hides nothing of what the others say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from moonlit.catalog.mapping_rules import (
    Finding,
    Kind,
    Mappings,
    PlaceMapping,
    ProviderMapping,
    ServiceMapping,
    compare,
)
from moonlit.catalog.mapping_store import mappings
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.ehr.catalog import EhrCatalog, EhrSettings
from moonlit.ehr.port import Budget, BudgetExhausted, Ehr, EhrError, EhrUnavailable, Lane
from moonlit.observability import logger
from moonlit.sync.runs import Runs
from moonlit.web.models import Model

System = Literal["intakeq", "athena"]
RETRY_SECONDS = 30  # After which asking an EHR that was away may be worth it.
Code = Literal["budget-exhausted", "ehr-unavailable", "ehr-refused", "not-opened"]


class AccountChecked(Model):
    """An EHR account, and why it could not be asked if it could not.

    `servicesChecked` is false as well where the EHR tells its services by seat, and knows no seat that is mapped.
    """

    system: System
    status: Literal["checked", "unavailable"]
    services_checked: bool = False
    code: Code | None = None
    retry_after_seconds: int | None = None


class OursShown(Model):
    """Whom the EHR's id is mapped to here, by our ids; `isDefault` when the practice's settings say so."""

    service_id: UUID | None = None
    service_instance_ids: tuple[UUID, ...] = ()
    is_default: bool = False
    provider_id: UUID | None = None
    location_id: UUID | None = None


class TheirsShown(Model):
    """What the EHR calls it."""

    name: str | None
    duration_minutes: int | None


class FindingShown(Model):
    """A disagreement; `theirs` is null where the EHR does not know the id, `payers` those whom it concerns."""

    kind: Kind
    system: System
    external_id: str
    ours: OursShown
    theirs: TheirsShown | None
    payers: int


class MappingCheck(Model):
    """What was found: of each account the most urgent first. `unmapped_in_ehr` is for information."""

    checked_at: datetime
    accounts: list[AccountChecked]
    findings: list[FindingShown]


@dataclass(frozen=True, slots=True)
class MappingChecker:
    """Checks the mappings.

    Attributes:
        ehr_with: Opens an account, given the budget to spend and what tells the seconds that it may take.
        budget_of: Returns an account's budget.
        time_left: The seconds until this process is stopped.
    """

    begin: Begin
    clock: Clock
    zone: ZoneInfo
    ehr_with: Callable[[UUID, Budget, Callable[[], float]], Ehr]
    budget_of: Callable[[UUID], Budget]
    time_left: Callable[[], float]

    def check(self) -> MappingCheck:
        """Ask every EHR account what it has, and return where that differs from what is mapped here.

        No transaction is open while an EHR is asked, and each has its share of the time that is left.
        """
        with self.begin() as connection:
            every = Runs(connection).accounts()
            ours = [(account_id, system, mappings(connection, system)) for account_id, system in every]
        accounts: list[AccountChecked] = []
        findings: list[FindingShown] = []
        for number, (account_id, system, mapped) in enumerate(ours):
            told = self._ask(account_id, system, mapped, self._share(len(ours) - number))
            if isinstance(told, AccountChecked):
                accounts.append(told)
                continue
            accounts.append(AccountChecked(system=system, status="checked", services_checked=told.services is not None))
            findings += [_shown(system, each) for each in compare(mapped, told)]
        return MappingCheck(checked_at=self.clock.now().astimezone(self.zone), accounts=accounts, findings=findings)

    def _share(self, accounts: int) -> Callable[[], float]:
        """Return what tells the time that the next of so many accounts has left."""
        kept_for_others = self.time_left() * (1 - 1 / accounts) if accounts > 1 else 0.0
        return lambda: self.time_left() - kept_for_others

    def _ask(
        self, account_id: UUID, system: System, mapped: Mappings, time_left: Callable[[], float]
    ) -> EhrSettings | AccountChecked:
        try:
            ehr = self.ehr_with(account_id, self.budget_of(account_id), time_left)
        except Exception as error:  # noqa: BLE001  # A wrong secret of one EHR is no trouble of the other's.
            logger.error("mapping_account_failed", system=system, error=type(error).__name__)
            return AccountChecked(system=system, status="unavailable", code="not-opened")
        if not isinstance(ehr, EhrCatalog):
            raise TypeError(f"{system} does not tell its settings")
        try:
            return ehr.catalog(_seats(mapped), Lane.ON_DEMAND)
        except EhrError as error:
            code, seconds = _failure(error)
            logger.warning("mappings_not_checked", system=system, code=code)
            return AccountChecked(system=system, status="unavailable", code=code, retry_after_seconds=seconds)


def _seats(mapped: Mappings) -> Sequence[tuple[str, str]]:
    return [(each.external_id, each.location_id) for each in mapped.providers if each.location_id is not None]


def _failure(error: EhrError) -> tuple[Code, int | None]:
    """Return why, and in how many seconds asking again may be worth it, if ever."""
    match error:
        case BudgetExhausted():
            return "budget-exhausted", max(1, math.ceil(error.retry_after))
        case EhrUnavailable():
            return "ehr-unavailable", RETRY_SECONDS
        case _:
            return "ehr-refused", None


def _shown(system: System, found: Finding) -> FindingShown:
    return FindingShown(
        kind=found.kind,
        system=system,
        external_id=found.external_id,
        ours=_ours(found),
        theirs=found.theirs and TheirsShown(name=found.theirs.name, duration_minutes=found.theirs.duration_minutes),
        payers=found.ours.payers if isinstance(found.ours, ServiceMapping) else 0,
    )


def _ours(found: Finding) -> OursShown:
    match found.ours:
        case ServiceMapping(service_id=service_id, instance_ids=instances, is_default=is_default):
            return OursShown(service_id=service_id, service_instance_ids=tuple(instances), is_default=is_default)
        case ProviderMapping(provider_id=provider_id):
            return OursShown(provider_id=provider_id)
        case PlaceMapping(location_id=location_id):
            return OursShown(location_id=location_id)
    return OursShown()
