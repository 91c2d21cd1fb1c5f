"""Apply what waits for single patients because somebody has just decided about them. Nothing here asks the EHR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.sync.activity import note_activity
from moonlit.sync.apply import applied_at_last, apply_patients
from moonlit.sync.errors import SyncContended
from moonlit.sync.scopes import scope_today


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Applies the mirror to patients, in a transaction of its own.

    What is decided commits before: whoever applies visits locks people first and rows of the mirror after them.
    """

    begin: Begin
    clock: Clock

    def apply(self, system: str, patients: Sequence[str], actor: str, reference: Mapping[str, Any]) -> None:
        """Bring the patients' visits in `system` up to date and say on their timelines who asked for it, and why.

        Raises:
            SyncContended: Others were at the same visits, twice in a row; the rows wait on.
        """
        contended = SyncContended(f"{len(patients)} patients")
        applied_at_last(lambda: self._apply(system, patients, actor, reference), contended)

    def _apply(self, system: str, patients: Sequence[str], actor: str, reference: Mapping[str, Any]) -> None:
        now = self.clock.now()
        with self.begin() as connection:
            applied = apply_patients(connection, scope_today(connection, system, now), patients, now)
            note_activity(connection, applied.counts, actor, reference, now)
