"""One patient brought up to date at once, because somebody looks at them: one request to each EHR that knows them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.audit.store import Actor
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.ehr.port import TRAITS, Budget, BudgetExhausted, Ehr, EhrError, EhrVisit, Lane, Page
from moonlit.errors import MoonlitError, NotFound
from moonlit.observability import logger
from moonlit.sync.activity import note_activity
from moonlit.sync.apply import applied_at_last, apply_patients
from moonlit.sync.brakes import stands_braked
from moonlit.sync.conflicts import open_conflicts
from moonlit.sync.errors import BudgetSpent, EhrAway, SyncContended, SyncStopped
from moonlit.sync.linking import link_patients
from moonlit.sync.logs import Counts, Logs
from moonlit.sync.matching import normalized
from moonlit.sync.mirror import Mirror
from moonlit.sync.new_ids import follow
from moonlit.sync.pull import Meter, failure_code
from moonlit.sync.runs import Runs
from moonlit.sync.scopes import scope_days
from moonlit.sync.systems import NUMBERS
from moonlit.sync.visits import UNKNOWN_PRACTITIONER, Outcome
from moonlit.sync.window import Window

RETRY_SECONDS = 30  # After which asking an EHR that was away may be worth it.
_BUDGET_SPENT = "budget_exhausted"

# The address under which the EHR knows the client comes first: it may be another than the patient gave here.
_KNOWN = sa.text(f"""
    select a.id, a.system, n.client_id,
        array_remove(array[m.client_email, p.email] || p.alternate_emails, null) as emails,
        n.client_id is not null or m.client_email is not null as is_client
    from patients p
    join {NUMBERS} n on n.patient_id = p.id
    join ehr_accounts a on a.system = n.system
    left join lateral (
        select client_email from ehr_appointments m
        where m.account_id = a.id and m.patient_id = p.id and m.client_email is not null
        order by m.modified_at desc limit 1) m on true
    where p.id = :patient_id order by a.system
""")

_UNKNOWN_GIVERS = sa.text("""
    select count(*) from appointments where patient_id = :patient_id and provider_id is null and "end" > :now
""")


@dataclass(frozen=True, slots=True)
class Known:
    """What an EHR account knows a patient by."""

    account_id: UUID
    system: str
    client_id: str | None
    emails: Sequence[str]
    is_client: bool  # Else they may be one, by their address.

    @property
    def asked_by(self) -> str | None:
        """What their visits are asked for by, None when there is nothing to ask by."""
        if TRAITS[self.system].finds_by_number:
            return self.client_id
        return next(iter(self.emails), None)

    def is_theirs(self, visit: EhrVisit) -> bool:
        """Return whether a row may be the patient's: searches find others too."""
        addresses = {normalized(email) for email in self.emails}
        by_address = visit.client_email is not None and normalized(visit.client_email) in addresses
        return by_address or (visit.client_id is not None and visit.client_id == self.client_id)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        success: Whether an EHR has answered, so that the patient is as up to date as they can be.
        outcomes: What became of the visits whose rows were looked at, by our id.
        warnings: Codes.
    """

    at: datetime
    window: Window
    counts: Counts
    success: bool
    outcomes: Mapping[UUID, Outcome] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What an account answered about a patient."""

    known: Known
    page: Page


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking for `actor`: the answers, the errors of accounts that gave none, the requests it took."""

    patient_id: UUID
    actor: Actor
    started_at: datetime
    told: Sequence[Told]
    failures: Mapping[str, EhrError]
    requests: int

    @property
    def warnings(self) -> list[str]:
        """Codes for what is missing."""
        if not (self.told or self.failures):
            return ["unknown_to_the_ehr"]
        unreadable = [f"{told.known.system}_row_unreadable" for told in self.told if told.page.unreadable]
        return [*(f"{system}_{_code(error)}" for system, error in self.failures.items()), *unreadable]


@dataclass(frozen=True, slots=True)
class SinglePatient:
    """Refreshes one patient.

    Attributes:
        ehr_with: Opens an account, given the budget to spend.
        budget_of: Returns an account's budget.
    """

    begin: Begin
    clock: Clock
    ehr_with: Callable[[UUID, Budget], Ehr]
    budget_of: Callable[[UUID], Budget]

    def refresh(self, patient_id: UUID, actor: Actor, days: Window | None = None) -> Refreshed:
        """Ask each EHR that knows the patient for their visits, and apply what it says and what else is waiting.

        A visit that the EHR does not show any more is left to a deletion's event or the next pull: one search that
        does not find it proves nothing.

        Args:
            patient_id: The patient.
            actor: Who asks.
            days: The days to ask for; None for those of every sync.

        Raises:
            NotFound: There is no such patient.
            BudgetSpent: No account could be asked, and one of them for want of requests.
            EhrAway: No account answered.
            SyncStopped: The account waits for a person's word; see `stands_braked`.
        """
        started_at = self.clock.now()
        with self.begin() as connection:
            known = _known(connection, patient_id)
            window = days or Runs(connection).practice().window(started_at)
        asked = Asked(patient_id, actor, started_at, *self._ask(known, window))
        if asked.failures and not asked.told:
            self._log_failure(asked, asked.warnings[0])
            raise _failure(asked.failures)
        try:
            return self._take_over(asked, known, window)
        except Exception as error:
            code = error.slug if isinstance(error, MoonlitError) else "internal_error"
            self._log_failure(asked, code)  # What was asked for has been spent.
            raise

    def _take_over(self, asked: Asked, known: Sequence[Known], window: Window) -> Refreshed:
        contended = SyncContended(f"patient {asked.patient_id}")
        for told in asked.told:
            retried_once(lambda: self._mirror(told, window), contended)  # noqa: B023

        def apply() -> Refreshed:
            with self.begin() as connection:
                done = self._apply(connection, asked, known, window)
                self._log(connection, asked, done)
            return done

        return applied_at_last(apply, contended)

    def _ask(self, known: Sequence[Known], window: Window) -> tuple[list[Told], dict[str, EhrError], int]:
        told: list[Told] = []
        failures: dict[str, EhrError] = {}
        requests = 0
        for each in (each for each in known if each.asked_by):
            meter = Meter(self.budget_of(each.account_id))
            try:
                told.append(Told(each, _visits(self.ehr_with(each.account_id, meter), each, window)))
            except EhrError as error:
                failures[each.system] = error
                logger.warning("patient_not_refreshed", system=each.system, code=_code(error))
            requests += meter.read()
        return told, failures, requests

    def _mirror(self, told: Told, window: Window) -> None:
        now = self.clock.now()
        with self.begin() as connection:
            scope = scope_days(connection, told.known.system, window)
            mirror = Mirror(connection, scope.account_id)
            visits = told.page.visits
            mirror.save(visits, now)
            clients = {each.client_id for each in visits if each.client_id and told.known.is_theirs(each)}
            for client_id in sorted(clients):
                link_patients(mirror, scope.first, scope.last, now, client_id)
            follow(connection, scope.account_id)
            open_conflicts(connection, scope.account_id, now)

    def _apply(self, connection: sa.Connection, asked: Asked, known: Sequence[Known], window: Window) -> Refreshed:
        now, patient = self.clock.now(), str(asked.patient_id)
        answered = {told.known.system for told in asked.told}
        totals: Counter[str] = Counter()
        outcomes: dict[UUID, Outcome] = {}
        for each in known:
            scope = scope_days(connection, each.system, window)
            fresh = each.system in answered and window.covers(Runs(connection).practice().window(now))
            applied = apply_patients(connection, scope, [patient], now, fresh=fresh)
            totals.update(asdict(applied.counts[patient]))
            outcomes |= {UUID(visit): outcome for visit, outcome in applied.outcomes.items()}
        unknown = connection.execute(_UNKNOWN_GIVERS, {"patient_id": asked.patient_id, "now": now}).scalar_one()
        warnings = [*asked.warnings, *([UNKNOWN_PRACTITIONER] if unknown else [])]
        return Refreshed(now, window, Counts(**totals), bool(answered), outcomes, warnings)

    def _log(self, connection: sa.Connection, asked: Asked, done: Refreshed) -> None:
        """Say in the log and in the patient's timeline who refreshed them, and what came of it."""
        told = {"warnings": list(done.warnings)}
        partly = {"status": "partial", "error_message": asked.warnings[0]} if asked.failures else {}
        log_id = Logs(connection).add_single(
            "manual_patient", done.counts, 1, told, done.at, **partly, **_of(asked, done.at)
        )
        counts, reference = {str(asked.patient_id): done.counts}, {"syncLogId": str(log_id)}
        note_activity(connection, counts, asked.actor, reference, done.at, even_if_nothing_changed=True)

    def _log_failure(self, asked: Asked, code: str) -> None:
        now, failed = self.clock.now(), {"status": "failed", "patients_processed": 0}
        with self.begin() as connection:
            Logs(connection).add_single(
                "manual_patient", Counts(), 1, {}, now, error_message=code, **failed, **_of(asked, now)
            )


def _known(connection: sa.Connection, patient_id: UUID) -> list[Known]:
    """Return the accounts that know the patient, or may know them when none does for sure.

    Raises:
        NotFound: There is no such patient.
        SyncStopped: They wait for a person's word, all of them.
    """
    found = [Known(*row) for row in connection.execute(_KNOWN, {"patient_id": patient_id})]
    if not found:
        raise NotFound(f"patient {patient_id}")
    known = [each for each in found if each.is_client] or found
    open_to_us = [each for each in known if not stands_braked(connection, each.account_id)]
    if not open_to_us:
        raise SyncStopped(", ".join(each.system for each in known))
    return open_to_us


def _of(asked: Asked, now: datetime) -> dict[str, Any]:
    """Return the columns of the log that say who asked for whom."""
    return {
        "patient_id": asked.patient_id,
        "organization_id": asked.actor.organization_id,
        "requested_by": asked.actor.reference,
        "requests_used": asked.requests,
        "started_at": asked.started_at,
        "duration_ms": (now - asked.started_at) // timedelta(milliseconds=1),
    }


def _visits(ehr: Ehr, known: Known, window: Window) -> Page:
    return ehr.visits_of_client(known.asked_by or "", window.first, window.last, Lane.ON_DEMAND)


def _code(error: EhrError) -> str:
    return _BUDGET_SPENT if isinstance(error, BudgetExhausted) else failure_code(error)


def _failure(failures: Mapping[str, EhrError]) -> MoonlitError:
    """Return what to answer when no account did: when to come again, if that is known."""
    spent = [error for error in failures.values() if isinstance(error, BudgetExhausted)]
    if spent:
        seconds = max(1, math.ceil(min(error.retry_after for error in spent)))
        return BudgetSpent("no request is left for this", retryAfterSeconds=seconds)
    return EhrAway("no answer", retryAfterSeconds=RETRY_SECONDS)
