"""What a visit that is booked stands on. Pure."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from moonlit.payers.rules import Basis, Roster, grounds


def has_ground(roster: Roster, provider_id: UUID, rendering_id: UUID | None, day: date) -> bool:
    """Tell whether a visit of that day may be given as it is booked.

    A visit that names a rendering provider stands on what that attending lends, or on a contract of the provider's own;
    another attending who would lend the same is another visit, which people have to arrange. The payer's status plays
    no part: it bars new bookings, and cancels none.
    """
    provider = roster.providers.get(provider_id)
    if provider is None or not provider.active:
        return False
    return any(basis.covers(day) and _carries(basis, rendering_id) for basis in grounds(roster, provider))


def _carries(basis: Basis, rendering_id: UUID | None) -> bool:
    return basis.attending_id is None or rendering_id in (None, basis.attending_id)
