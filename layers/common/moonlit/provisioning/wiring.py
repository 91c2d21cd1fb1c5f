"""Puts provisioning together for a process."""

from __future__ import annotations

from uuid import UUID

from moonlit import wiring
from moonlit.provisioning import answers
from moonlit.provisioning.answers import RunShown
from moonlit.provisioning.undoing import Undoing
from moonlit.provisioning.use_cases import Provisioner


def provisioner() -> Provisioner:
    """Return what makes payers bookable."""
    return Provisioner(wiring.begin(), wiring.clock(), wiring.practice_zone(), wiring.deadline.seconds_left)


def undoing() -> Undoing:
    """Return what takes runs back."""
    return Undoing(wiring.begin(), wiring.clock())


def shown(run_id: UUID, cursor: str | None = None) -> RunShown:
    """Return a run as it stands.

    Raises:
        NotFound: There is no such run.
    """
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        return answers.shown(connection, run_id, zone, now, cursor=cursor)
