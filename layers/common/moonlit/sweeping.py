"""A sweep is several steps that have nothing to do with each other: one that fails must not keep the others waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import DBAPIError

from moonlit.db.engine import sqlstate
from moonlit.observability import logger

type Step = Callable[[], Mapping[str, int]]
"""Does one kind of work and returns how much of what was done."""


class SweepFailed(RuntimeError):
    """Some steps failed, which it names; the others are done."""


def sweep_each(steps: Mapping[str, Step]) -> dict[str, int]:
    """Take every step in its order, and return how much of each kind was done.

    Raises:
        SweepFailed: After the last step, so that the invocation counts as failed and somebody looks at the log.
    """
    done: dict[str, Any] = {}
    failed = []
    for name, step in steps.items():
        try:
            done |= step()
        except Exception as error:  # noqa: BLE001  # Logged by its type: its text may quote a row.
            state = sqlstate(error) if isinstance(error, DBAPIError) else None
            logger.error("sweep_step_failed", step=name, error=type(error).__name__, sqlstate=state)
            failed.append(name)
    logger.info("swept", **done)
    if failed:
        raise SweepFailed(", ".join(failed))
    return done
