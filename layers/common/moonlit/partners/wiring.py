"""Puts the partner dashboard together for a process; each part is made on first use."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit import wiring
from moonlit.audit.store import Actor
from moonlit.db.engine import Begin, beginner, connect
from moonlit.db.tables import practice_settings
from moonlit.partners.desk import Dashboard
from moonlit.settings import database_tls, partner_database_url


@cache
def begin() -> Begin:
    """Return what opens a transaction under the login of partners, who see their own patients alone."""
    return beginner(connect(partner_database_url(), tls=database_tls()))


@cache
def zone() -> ZoneInfo:
    """Return the practice's zone; it does not change while a process lives."""
    with begin()() as connection:
        return ZoneInfo(connection.execute(sa.select(practice_settings.c.timezone)).scalar_one())


@cache
def dashboard() -> Dashboard:
    """Return the dashboard."""
    return Dashboard(begin(), wiring.clock(), zone)


def note_refusal(actor: Actor, slug: str, route: str, entity_id: str | None) -> None:
    """Note that a partner asked for what they may not have."""
    dashboard().note_refusal(actor, slug, route, entity_id)
