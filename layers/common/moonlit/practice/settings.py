"""The practice's settings: read anew by each request, so a change reaches the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from moonlit.audit.changes import difference
from moonlit.audit.store import Actor, Audit
from moonlit.catalog.changing import one_at_a_time
from moonlit.clock import Clock
from moonlit.db.engine import Begin
from moonlit.db.tables import ehr_accounts, practice_settings, services
from moonlit.practice.answers import (
    DefaultServiceShown,
    DefaultServiceWanted,
    LimitsShown,
    LimitsWanted,
    RulesBody,
    SettingsShown,
    SettingsWanted,
)
from moonlit.practice.errors import TimezoneFixed
from moonlit.practice.rules import Rules, stored
from moonlit.web.etags import expect
from moonlit.web.malformed import in_body


@dataclass(frozen=True, slots=True)
class Settings:
    """The one practice's."""

    begin: Begin
    clock: Clock

    def show(self) -> SettingsShown:
        """Return the settings."""
        with self.begin() as connection:
            return _shown(connection)

    def replace(self, wanted: SettingsWanted, if_match: str | None, actor: Actor) -> SettingsShown:
        """Let the settings be as wanted, all of them; what is so already leaves no trace.

        Raises:
            StaleEtag: The change was made from other settings.
            TimezoneFixed: They have another zone.
            RequestValidationError: They refer to what is not there, or say something twice.
            CatalogContended: Somebody else was changing the catalog for too long.
        """

        def work(connection: sa.Connection) -> SettingsShown:
            before = _shown(connection)
            expect(if_match, before)
            if wanted.timezone != before.timezone:
                raise TimezoneFixed("days, windows and budgets that are stored are of this zone")
            _check_defaults(connection, wanted.default_services)
            _check_limits(wanted.ehr_limits, before.ehr_limits)
            _keep(connection, wanted)
            _keep_limits(connection, wanted.ehr_limits, before.ehr_limits)
            after = _shown(connection)
            if after != before:
                old, new = difference(before, after)
                audit = Audit(connection, actor, self.clock.now())
                audit.changed("update", "practice_settings", None, before=old, after=new)
            return after

        return one_at_a_time(self.begin, work)


def _shown(connection: sa.Connection) -> SettingsShown:
    row = connection.execute(sa.select(practice_settings)).one()
    columns = [ehr_accounts.c[name] for name in LimitsShown.model_fields]
    accounts = connection.execute(sa.select(*columns).order_by(ehr_accounts.c.system)).mappings()
    return SettingsShown(
        name=row.name,
        timezone=row.timezone,
        settings=RulesBody(**Rules.model_validate(row.settings).model_dump()),
        default_services=[DefaultServiceShown(**each) for each in row.default_services],
        ehr_limits=[LimitsShown(**account) for account in accounts],
    )


def _check_defaults(connection: sa.Connection, wanted: Sequence[DefaultServiceWanted]) -> None:
    """Refuse services that are not there or out of use, and the same service twice at one place."""
    named = {each.service_id for each in wanted}
    rows = connection.execute(sa.select(services.c.id, services.c.is_active).where(services.c.id.in_(named)))
    in_use: dict[UUID, bool] = {row.id: row.is_active for row in rows}
    seen = set()
    for position, each in enumerate(wanted):
        if each.service_id not in in_use:
            raise in_body("unknown_id", "defaultServices", position, "serviceId")
        if not in_use[each.service_id]:
            raise in_body("inactive_service", "defaultServices", position, "serviceId")
        place = (each.service_id, each.location, each.pos_code)
        if place in seen:
            raise in_body("duplicate", "defaultServices", position)
        seen.add(place)


def _check_limits(wanted: Sequence[LimitsWanted], before: Sequence[LimitsShown]) -> None:
    """Refuse limits of an EHR in which the practice has no account, and two for one."""
    known, seen = {each.system for each in before}, set()
    for position, each in enumerate(wanted):
        if each.system not in known:
            raise in_body("unknown_id", "ehrLimits", position, "system")
        if each.system in seen:
            raise in_body("duplicate", "ehrLimits", position)
        seen.add(each.system)


def _keep(connection: sa.Connection, wanted: SettingsWanted) -> None:
    before = connection.execute(sa.select(practice_settings.c.settings).with_for_update()).scalar_one()
    connection.execute(
        sa.update(practice_settings).values(
            name=wanted.name,
            settings=stored(wanted.settings, before),
            default_services=[_stored_default(each) for each in wanted.default_services],
        )
    )


def _stored_default(each: DefaultServiceWanted) -> dict[str, Any]:
    told = each.model_dump(mode="json", by_alias=False)
    return told | {"mappings": {system: key for system, key in told["mappings"].items() if key is not None}}


def _keep_limits(connection: sa.Connection, wanted: Sequence[LimitsWanted], before: Sequence[LimitsShown]) -> None:
    """Change the accounts, and what an export of the practice says of them."""
    known = {each.system: (each.per_minute, each.per_day) for each in before}
    for each in wanted:
        if known[each.system] != (each.per_minute, each.per_day):
            limits = {"per_minute": each.per_minute, "per_day": each.per_day}
            account = ehr_accounts.c.system == each.system
            connection.execute(sa.update(ehr_accounts).where(account).values(**limits))
            said = sa.func.coalesce(practice_settings.c.ehr_limits, sa.text("'{}'::jsonb"))
            changed = said.op("||")(sa.cast({each.system: limits}, practice_settings.c.ehr_limits.type))
            connection.execute(sa.update(practice_settings).values(ehr_limits=changed))
