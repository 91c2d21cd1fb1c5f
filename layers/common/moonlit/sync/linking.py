"""Find the patients that rows of the mirror belong to."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from uuid import UUID

from moonlit.sync.matching import Review, match
from moonlit.sync.mirror import Mirror, Unmatched


def link_patients(
    mirror: Mirror, first: datetime, last: datetime, now: datetime, client_id: str | None = None
) -> Counter[str]:
    """Give rows of [first, last) to the patients they are surely of and put the doubtful ones before people.

    What people have decided about a client comes before its addresses. What rows of patients tell of an insurance is
    put before people as well, and what they accepted goes to visits that came since.

    Args:
        mirror: The account's mirror.
        first: The beginning of the window.
        last: Its end, exclusive.
        now: The current instant.
        client_id: Look at this client of the EHR only.

    Returns:
        How many clients were `linked` and how many are `in_doubt`.
    """
    mirror.link_decided(first, last, client_id)
    linked: list[tuple[Unmatched, UUID]] = []
    doubtful: list[tuple[Unmatched, Review]] = []
    for each in mirror.unmatched(first, last, client_id):
        match match(each.client, each.candidates):
            case UUID() as patient_id:
                linked.append((each, patient_id))
            case Review() as review:
                doubtful.append((each, review))
            case None:
                pass
    mirror.link(linked, now)
    mirror.ask(doubtful, now)
    mirror.propose_insurance(first, last, now, client_id)
    return Counter(linked=len(linked), in_doubt=len(doubtful))
