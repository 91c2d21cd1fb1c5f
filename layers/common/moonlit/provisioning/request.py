"""What may be asked of provisioning."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from moonlit.provisioning.rules import Strategy
from moonlit.web.models import Email, Model

MOST_PAYERS = 5_000  # More ids than these do not fit into a body.


class RunRequest(Model):
    """A dry run or the real thing: for these payers, else for all of them and the instances that are nobody's."""

    mode: Literal["dryRun", "apply"]
    strategy: Strategy = Strategy.HYBRID
    payer_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_PAYERS)] | None = None


class BackfillRequest(Model):
    """A direct call of `backfill`: a run, or the run that is to be undone; always with the admin who asks."""

    mode: Literal["dryRun", "apply"] | None = None
    strategy: Strategy | None = None
    payer_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_PAYERS)] | None = None
    undo: UUID | None = None
    requested_by: Email

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.mode is None) == (self.undo is None):
            raise PydanticCustomError("exactly_one", "Exactly one of mode and undo has to be there")
        if self.undo and (self.strategy or self.payer_ids):
            raise PydanticCustomError("undo_alone", "A run is undone as a whole: no strategy and no payers")
        return self

    def wish(self) -> RunRequest | UUID:
        """Return the run that is asked for, or the id of the one that is to be undone."""
        if self.undo:
            return self.undo
        return RunRequest.model_validate(self.model_dump(include={"mode", "strategy", "payer_ids"}, exclude_none=True))


class PayerCreated(Model):
    """What the event `payer.created` tells; a later publisher may tell more."""

    model_config = ConfigDict(extra="ignore")

    event_id: UUID
    payer_id: UUID
