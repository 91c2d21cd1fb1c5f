"""The JSON of payers as staff keep them: what they send, and what they are shown."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from moonlit.availability.answers import AcceptanceAnswer
from moonlit.booking.stranding import Stranded
from moonlit.contracting.rules import ContractTerms, Difference, PayerTerms, SupervisionTerms, Terms
from moonlit.web.models import Day, Line, Model, Named, State

PayerType = Literal["private", "medicaid", "self_pay"]
StatusCode = Literal["approved", "pending", "suspended", "rejected"]
MOST_ROWS = 500  # Of each list; a body of more would be too large.


class ContractBody(Model):
    """A provider's contract with the payer; with the `id` of one that stands, it takes its place."""

    id: UUID | None = None
    provider_id: UUID
    effective_date: Day | None = None
    end_date: Day | None = None
    status: Literal["credentialing_in_progress", "active", "inactive"]


class SupervisionBody(Model):
    """An attending who lends a resident the attending's contracts with this payer."""

    id: UUID | None = None
    resident_id: UUID
    attending_id: UUID
    level: Literal["sign_off_only", "co_visit_required"]
    effective_date: Day
    end_date: Day | None = None


class PayerBody(Model):
    """A payer as it shall stand: what is left out is empty then, but for `contracts` and `supervision`.

    Either of those stays as it is when it is left out; one that is sent is the whole new list.
    """

    name: Line
    type: PayerType
    status_code: StatusCode | None = None
    state: State | None = None
    plan_codes: Annotated[list[Line], Field(max_length=100, default_factory=list)]
    contracts: Annotated[list[ContractBody], Field(max_length=MOST_ROWS, default_factory=list)]
    supervision: Annotated[list[SupervisionBody], Field(max_length=MOST_ROWS, default_factory=list)]


class ContractShown(Model):
    """A contract, in the form in which it may be sent back."""

    id: UUID
    provider_id: UUID
    effective_date: date | None
    end_date: date | None
    status: str


class SupervisionShown(Model):
    """Supervision, in the form in which it may be sent back."""

    id: UUID
    resident_id: UUID
    attending_id: UUID
    level: str
    effective_date: date
    end_date: date | None


class PayerKept(Model):
    """Everything that a PUT may change, and so what an ETag is made of."""

    id: UUID
    name: str
    type: PayerType
    status_code: StatusCode | None
    state: str | None
    plan_codes: list[str]
    contracts: list[ContractShown]
    supervision: list[SupervisionShown]


class PayerShown(PayerKept):
    """A payer with what follows from its rows.

    `supervisionForAnyPayer` counts for this payer too and is not changed here. `providers` has the names of everybody
    mentioned.
    """

    supervision_for_any_payer: list[SupervisionShown]
    providers: list[Named]
    acceptance: AcceptanceAnswer
    service_ready: bool


class ChangeShown(Model):
    """One thing that was changed, or would be. What a dry run would add has no id yet."""

    entity: Literal["payer", "contract", "supervision"]
    action: Literal["created", "updated", "removed"]
    id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class PayerChanged(PayerShown):
    """A payer as it stands, what was changed, and whose visits have no ground any more.

    After a dry run the payer stands as it did, and `changes` and `stranded` say what would have been.
    """

    dry_run: bool
    changes: list[ChangeShown]
    stranded: Stranded


class PayerItem(Model):
    """A payer in a list."""

    id: UUID
    name: str
    type: PayerType
    status_code: StatusCode | None
    state: str | None
    plan_codes: list[str]
    acceptance: AcceptanceAnswer
    service_ready: bool


class PayerItems(Model):
    """A page of payers, by name."""

    items: list[PayerItem]
    next_cursor: str | None


def kept(payer: PayerTerms) -> PayerKept:
    """Return what an ETag is made of."""
    return PayerKept.model_validate(asdict(payer))


def supervision_shown(row: SupervisionTerms) -> SupervisionShown:
    """Return a row as answers show it."""
    return SupervisionShown.model_validate(asdict(row))


def told(terms: Terms | None) -> dict[str, Any] | None:
    """Return one side of a change, ready for JSON: ids, codes, days, and what the practice calls the payer."""
    match terms:
        case None:
            return None
        case PayerTerms():
            return kept(terms).model_dump(mode="json", exclude={"id", "contracts", "supervision"})
        case ContractTerms():
            return ContractShown.model_validate(asdict(terms)).model_dump(mode="json", exclude={"id"})
        case SupervisionTerms():
            return supervision_shown(terms).model_dump(mode="json", exclude={"id"})


def change_shown(difference: Difference, *, dry_run: bool) -> ChangeShown:
    """Return a change as answers show it."""
    before, after = told(difference.before), told(difference.after)
    action: Literal["created", "updated", "removed"] = (
        "created" if before is None else "removed" if after is None else "updated"
    )
    row_id = None if dry_run and before is None else difference.id
    return ChangeShown(entity=difference.entity, action=action, id=row_id, before=before, after=after)
