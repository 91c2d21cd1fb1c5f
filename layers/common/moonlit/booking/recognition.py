"""Which of the EHR's visits a write of ours has made. Pure.

The EHR carries no mark of ours that could be trusted, so a visit is known by practitioner, client and start, and by
when it was made. Visits that belong to other bookings are left out before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

from moonlit.booking.ledger import Write
from moonlit.ehr.port import EhrVisit

LANDING = timedelta(minutes=2)  # How far from its sending a POST can take effect, the two clocks' difference included.


def made_by(
    write: Write, visits: Iterable[EhrVisit], others: Collection[str], rivals: Iterable[Write]
) -> EhrVisit | None:
    """Return the visit that fits the write, None when there is none.

    Staff may have moved it since: then practitioner, client and the moment of its making tell. One with our very start
    fits too whenever it was made: the patient has what they asked for, and two of it would be one too many.

    Args:
        write: A write that was sent.
        visits: The practitioner's visits of that day.
        others: The EHR's ids of visits that are known to be somebody else's.
        rivals: Other writes that were sent and not answered for: what fits one of them exactly is not taken for ours.
    """
    theirs = {(rival.practitioner_id, rival.client_id, rival.starts_at) for rival in rivals}
    ours = [
        visit
        for visit in visits
        if visit.external_id not in others
        and (visit.practitioner_id, visit.client_id, visit.starts_at) not in theirs
        and visit.status in ("scheduled", "confirmed")
        and visit.practitioner_id == write.practitioner_id
        and visit.client_id == write.client_id
        and (visit.starts_at == write.starts_at or landed(write, visit))
    ]
    return min(ours, key=lambda visit: (visit.starts_at != write.starts_at, not landed(write, visit)), default=None)


def landed(write: Write, visit: EhrVisit) -> bool:
    """Tell whether the visit was made when the write was on its way."""
    if write.sent_at is None or visit.created_at is None:
        return False
    return abs(visit.created_at - write.sent_at) <= LANDING
