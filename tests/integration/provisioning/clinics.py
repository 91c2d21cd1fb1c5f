"""The demo practice as it was found, provisioned by the application's own login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from local.clinic import export
from moonlit.audit.store import Actor
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.provisioning import answers
from moonlit.provisioning.answers import RunShown
from moonlit.provisioning.request import RunRequest
from moonlit.provisioning.rules import Strategy
from moonlit.provisioning.undoing import Undoing
from moonlit.provisioning.use_cases import Provisioner

ZONE = ZoneInfo("America/Denver")
ADMIN = Actor("staff", UUID(int=0xAD), request_id="request")


@dataclass
class Found:
    """A practice whose payers are to be made bookable."""

    begin: Begin
    clock: Clock

    def run(
        self, mode: Literal["dryRun", "apply"], strategy: str = "hybrid", payer_ids: list[UUID] | None = None
    ) -> RunShown:
        request = RunRequest(mode=mode, strategy=Strategy(strategy), payer_ids=payer_ids)
        return self.shown(self.provisioner().run(request, ADMIN))

    def provisioner(self) -> Provisioner:
        return Provisioner(self.begin, self.clock, ZONE, lambda: 900.0)

    def undo(self, run_id: UUID) -> RunShown:
        Undoing(self.begin, self.clock).undo(run_id, ADMIN)
        return self.shown(run_id)

    def shown(self, run_id: UUID) -> RunShown:
        with self.begin() as connection:
            return answers.shown(connection, run_id, ZONE, self.clock.now())

    def export(self) -> dict[str, Any]:
        with self.begin() as connection:
            return export(connection, self.clock.now())

    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        with self.begin() as connection:
            return [dict(row) for row in connection.execute(sa.text(statement), values).mappings()]

    def execute(self, statement: str, **values: Any) -> None:
        with self.begin() as connection:
            connection.execute(sa.text(statement), values)


def steps(run: RunShown) -> list[dict[str, Any]]:
    """Return what a run does, whether it was done or only planned."""
    return [action.model_dump(exclude={"state"}) for action in run.actions]
