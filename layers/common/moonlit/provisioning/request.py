"""What may be asked of provisioning."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from moonlit.provisioning.rules import Strategy
from moonlit.web.models import Model

MOST_PAYERS = 10_000


class RunRequest(Model):
    """A dry run or the real thing: for these payers, else for all of them and the instances that are nobody's."""

    mode: Literal["dryRun", "apply"]
    strategy: Strategy = Strategy.HYBRID
    payer_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_PAYERS)] | None = None
