"""The practice's own rules, each as whoever reads it knows it: who changes them is held to the same bounds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moonlit.availability.settings import PracticeRules, SlotRules
from moonlit.booking.callers import PublicLimits
from moonlit.booking.changes import GuestRules
from moonlit.sync.window import SyncDays


class Rules(PracticeRules, GuestRules, PublicLimits, SyncDays, SlotRules):
    """Everything that `practice_settings.settings` holds and somebody reads; what is missing there has its default."""


def stored(wanted: Rules, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored when the rules are to be `wanted`, and `before` is stored.

    A rule that is wanted to be as it is by default stays unsaid, so that a later default reaches the practice. What
    nobody here reads stays as it is.
    """
    said = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    unread = {name: value for name, value in before.items() if name not in Rules.model_fields}
    default = {name: field.default for name, field in Rules.model_fields.items()}
    return unread | {name: value for name, value in said.items() if name in before or value != default[name]}
