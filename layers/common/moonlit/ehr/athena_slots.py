"""athenahealth's open slots: looked for, and kept from others while somebody makes up their mind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from moonlit.ehr.athena_calls import GONE, TAKEN, Calls, appointment_path, id_of, joined, padded_days, says_yes, within
from moonlit.ehr.athena_practice import Catalog
from moonlit.ehr.athena_rows import is_frozen_slot, open_slot_of
from moonlit.ehr.port import EhrRefused, Lane, OpenSlot
from moonlit.observability import logger


class Slots:
    """The open slots of one practice."""

    def __init__(self, calls: Calls, catalog: Catalog, zone: ZoneInfo) -> None:
        self._calls = calls
        self._catalog = catalog
        self._zone = zone

    def open(
        self, seats: Sequence[tuple[str, str]], service_ids: Sequence[str], days: tuple[date, date], lane: Lane
    ) -> Sequence[OpenSlot]:
        """Return the open slots of `seats` on the practice's days; the vendor leaves out those that are frozen.

        By itself it would show a week, nothing of the next 24 hours, and nothing beyond 90 days: so the days are always
        given, and its own notice and horizon are lifted, because ours are applied later.
        """
        if not seats or not service_ids:
            return ()
        parameters = {
            "providerid": joined(provider for provider, _ in seats),
            "departmentid": joined(department for _, department in seats),
            "reasonid": joined(service_ids),
            "bypassscheduletimechecks": "true",
            **padded_days(*days),
        }
        rows = self._calls.rows("appointments/open", "appointments", lane, parameters)
        practice = self._catalog.practice(rows, lane)
        wanted, found = set(seats), dict[str, OpenSlot]()  # Rows shift between pages while slots are taken.
        for row in rows:
            try:
                slot = open_slot_of(row, practice)
            except EhrRefused:  # Not offering it harms nobody.
                logger.warning("ehr_slot_unreadable", external_id=id_of(row))
                continue
            if slot and (slot.practitioner_id, slot.location_id) in wanted:
                found[slot.slot_id] = slot
        return within(found.values(), days, self._zone)

    def freeze(self, slot_id: str, lane: Lane) -> None:
        """Keep an open slot from everybody else; a slot that is frozen stays so.

        Raises:
            EhrRefused: `409`: it is not open any more; `not_granted`: the app may not freeze.
        """
        try:
            done = says_yes(self._set_frozen(slot_id, "true", lane))
        except EhrRefused as refused:
            raise (EhrRefused(TAKEN) if refused.code == GONE else refused) from None
        if not done and not self._is_frozen(slot_id, lane):
            raise EhrRefused(TAKEN)

    def thaw(self, slot_id: str, lane: Lane) -> None:
        """Open a slot that was frozen; one that is open, booked or gone stays so.

        Raises:
            EhrRefused: `not_granted`: the app may not; `not_done`: it is still frozen.
        """
        try:
            done = says_yes(self._set_frozen(slot_id, "false", lane))
        except EhrRefused as refused:
            if refused.code not in (GONE, TAKEN):
                raise
            return
        if not done and self._is_frozen(slot_id, lane):
            raise EhrRefused("not_done")

    def _set_frozen(self, slot_id: str, frozen: str, lane: Lane) -> Any:
        path = f"{appointment_path(slot_id)}/freeze"
        return self._calls.send("PUT", path, lane, {"freeze": frozen}, forbidden="not_granted")

    def _is_frozen(self, slot_id: str, lane: Lane) -> bool:
        return is_frozen_slot(self._calls.one(appointment_path(slot_id), lane))
