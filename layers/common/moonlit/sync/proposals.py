"""What an EHR's free fields say of a patient's insurance: nothing of it is taken over before somebody says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy.dialects.postgresql import JSONB

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.db.paging import by_instant
from moonlit.db.tables import ehr_accounts, insurance_proposals, patients, payers
from moonlit.errors import NotFound
from moonlit.sync.at_once import AtOnce
from moonlit.sync.errors import AlreadyDecided, SyncContended
from moonlit.web.models import Model


class ProposalDecision(Model):
    """Take it over, for this payer where one is given: it has to be where the proposal knows none; or do not."""

    accept: Literal[True] | None = None
    payer_id: UUID | None = None
    dismiss: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> ProposalDecision:
        if (self.accept is None) == (self.dismiss is None) or (self.dismiss and self.payer_id):
            raise PydanticCustomError("exactly_one", "Either accept, with or without a payer, or dismiss")
        return self


class ProposalDecided(Model):
    """What was decided."""

    proposal_id: UUID
    state: Literal["accepted", "dismissed"]
    payer_id: UUID | None
    decided_at: datetime


class ProposalShown(Model):
    """What the EHR's fields say; `payerId` is the payer of exactly that name, if there is one."""

    proposal_id: UUID
    system: Literal["intakeq", "athena"]
    external_id: str
    patient_id: UUID
    patient_name: str
    payer_name: str | None
    member_id: str | None
    group_number: str | None
    payer_id: UUID | None
    created_at: datetime


class ProposalList(Model):
    """A page of open proposals, the oldest first."""

    items: list[ProposalShown]
    next_cursor: str | None

    def patient_ids(self) -> list[UUID]:
        """Return the patients who are shown."""
        return sorted({item.patient_id for item in self.items})


def open_page(connection: sa.Connection, zone: ZoneInfo, *, limit: int, after: str | None) -> ProposalList:
    """Return a page of the open proposals, instants in `zone`; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    at, key = insurance_proposals.c.created_at, insurance_proposals.c.id
    name = sa.func.concat_ws(" ", patients.c.first_name, patients.c.last_name).label("patient_name")
    query = (
        sa.select(insurance_proposals, ehr_accounts.c.system, name)
        .join(ehr_accounts, ehr_accounts.c.id == insurance_proposals.c.account_id)
        .join(patients, patients.c.id == insurance_proposals.c.patient_id)
        .where(insurance_proposals.c.state == "open")
    )
    found = by_instant(connection, query, at, key, limit=limit, after=after)
    return ProposalList(items=[_shown(row, zone) for row in found.rows], next_cursor=found.next_cursor)


def _shown(row: Any, zone: ZoneInfo) -> ProposalShown:
    told = {name: row[name] for name in ProposalShown.model_fields if name not in {"proposal_id", "created_at"}}
    return ProposalShown(proposal_id=row["id"], created_at=row["created_at"].astimezone(zone), **told)


@dataclass(frozen=True, slots=True)
class Proposals:
    """The proposals, and what is done about an answer; `zone` is the practice's, for instants that are shown."""

    begin: Begin
    clock: Clock
    zone: ZoneInfo

    def decide(self, proposal_id: UUID, decision: ProposalDecision, actor: Actor) -> ProposalDecided:
        """Keep the decision. What is accepted goes to the patient's coming visits that know no insurance.

        Visits that come later, and know neither payer nor insurance, are given it by the pulls (sync/linking.py).

        What a booking gave is never replaced: neither a payer nor an insurance that is there. The same decision again
        answers the same.

        Raises:
            NotFound: There is no such proposal, or no such payer.
            RequestValidationError: Neither the proposal nor the decision names a payer.
            AlreadyDecided: Somebody decided otherwise.
            SyncContended: Others were at the same visits, twice in a row; what was decided stays decided.
        """
        contended = SyncContended(f"insurance proposal {proposal_id}")
        decided, row = retried_once(lambda: self._decide(proposal_id, decision, actor), contended)
        if decided.state == "accepted":  # Which instance of the service it is can be told once the payer is known.
            reference = {"proposalId": str(proposal_id)}
            at_once = AtOnce(self.begin, self.clock)
            at_once.apply(row["system"], [str(row["patient_id"])], actor.reference, reference)
        return decided

    def _decide(self, proposal_id: UUID, decision: ProposalDecision, actor: Actor) -> tuple[ProposalDecided, Any]:
        now = self.clock.now()
        state: Literal["accepted", "dismissed"] = "dismissed" if decision.dismiss else "accepted"
        with self.begin() as connection:
            row = connection.execute(_LOCKED, {"id": proposal_id}).mappings().one_or_none()
            if row is None:
                raise NotFound(f"insurance proposal {proposal_id}")
            payer_id, decided_at = decision.payer_id or row["payer_id"], row["decided_at"]
            if row["state"] == "open":
                if state == "accepted" and payer_id is None:
                    raise _without_payer()
                decided_at = now
                _Case(connection, actor, now, row).close(state, payer_id)
            elif (row["state"], row["payer_id"]) != (state, payer_id):
                raise AlreadyDecided(f"insurance proposal {proposal_id} is {row['state']}")
        decided_at = decided_at.astimezone(self.zone)
        return ProposalDecided(proposal_id=proposal_id, state=state, payer_id=payer_id, decided_at=decided_at), row


def _without_payer() -> RequestValidationError:
    """Return what to raise for a membership that would be nobody's."""
    missing: list[Any] = [{"loc": ("body", "payerId"), "type": "missing"}]
    return RequestValidationError(missing)


@dataclass(frozen=True, slots=True)
class _Case:
    """An open proposal in the transaction that closes it."""

    connection: sa.Connection
    actor: Actor
    now: datetime
    row: sa.RowMapping

    def close(self, state: str, payer_id: UUID | None) -> None:
        proposal_id = self.row["id"]
        changed = self._take_over(payer_id) if state == "accepted" else ()
        decided = {"state": state, "payer_id": payer_id, "decided_at": self.now, "decided_by": self.actor.reference}
        update = sa.update(insurance_proposals).where(insurance_proposals.c.id == proposal_id)
        self.connection.execute(update.values(**decided))
        Audit(self.connection, self.actor, self.now).changed(
            "decide",
            "insurance_proposal",
            proposal_id,
            before={"state": "open", "payerId": self.row["payer_id"] and str(self.row["payer_id"])},
            after={"state": state, "payerId": payer_id and str(payer_id), "appointmentIds": [*map(str, changed)]},
            patient_ids=[self.row["patient_id"]],
        )

    def _take_over(self, payer_id: UUID | None) -> Sequence[UUID]:
        """Return the visits that know the insurance from now on; they are applied again, since more follows from it."""
        if payer_id and self.connection.scalar(sa.select(payers.c.id).where(payers.c.id == payer_id)) is None:
            raise NotFound(f"payer {payer_id}")
        member_id, group_number = self.row["member_id"], self.row["group_number"]
        values = {
            "patient_id": self.row["patient_id"],
            "payer_id": payer_id,
            "insurance": {"member_id": member_id, "group_number": group_number} if member_id else None,
            "now": self.now,
        }
        changed = self.connection.execute(_TAKE_OVER, values).scalars().all()
        self.connection.execute(_REOPEN, {"ids": list(changed)})
        return changed


_LOCKED = sa.text("""
    select p.*, e.system from insurance_proposals p join ehr_accounts e on e.id = p.account_id
    where p.id = :id for update of p
""")

# A membership belongs to a payer: it goes to no visit that another payer is known of.
_TAKE_OVER = sa.text("""
    update appointments a set
        payer_id = coalesce(a.payer_id, :payer_id), insurance = :insurance, updated_at = :now
    where a.patient_id = :patient_id and a."start" > :now and a.status in ('pending', 'scheduled', 'confirmed')
        and a.insurance is null and (a.payer_id is null or a.payer_id = :payer_id)
        and (cast(:insurance as jsonb) is not null or a.payer_id is distinct from :payer_id)
    returning a.id
""").bindparams(
    sa.bindparam("insurance", type_=JSONB(none_as_null=True)),
    sa.bindparam("payer_id", type_=sa.Uuid),
    sa.bindparam("patient_id", type_=sa.Uuid),
)

_REOPEN = sa.text("""
    update appointment_external_ids set applied_hash = null where appointment_id = any(:ids)
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid)))
