"""One human behind several provider ids: what they are booked for moves along when it turns out who they are.

Claims name the human, so that nobody is at two visits at once under two ids. When a provider becomes another human,
the claims of coming visits are rewritten under the locks of both, in the transaction of the change.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.booking.claims import Claims
from moonlit.people.errors import PersonChanging, PersonOverlaps

MOST_TOLD = 20

# The visits that take the provider's own time, as Visits.persons has it.
_THEIRS = """
    c.resource_kind = 'person' and c.resource_id = :before and upper(c.span) > :now
    and c.appointment_id in (
        select id from appointments
        where provider_id = :provider_id or (rendering_provider_id = :provider_id and co_visit))
"""


# What a change under way claims before and after is written down with it: nothing here could follow.
_CHANGING = sa.text("""
    select exists (
        select from time_claims c join appointment_holds h on h.id = c.hold_id
        where c.resource_id in (:before, :after) and h.expires_at > :now
    ) or exists (
        select from ehr_writes w join appointments a on a.id = w.appointment_id
        where :provider_id in (a.provider_id, a.rendering_provider_id) and w.state in ('waiting', 'sending', 'unknown'))
""")

_OVERLAPPING = sa.text(f"""
    select distinct c.appointment_id, o.appointment_id as other_id from time_claims c
    join time_claims o on o.resource_kind = 'person' and o.resource_id = :after and o.span && c.span and o.enforced
        and o.appointment_id <> c.appointment_id
    where {_THEIRS} and c.enforced order by 1, 2 limit :most
""")

# A co-visit of two who turn out to be one takes the time once.
_DROP_TWICE = sa.text(f"""
    delete from time_claims c where {_THEIRS} and exists (
        select from time_claims o where o.resource_kind = 'person' and o.resource_id = :after
            and o.appointment_id = c.appointment_id)
""")

_MOVE = sa.text(f"update time_claims c set resource_id = :after where {_THEIRS}")


class Persons:
    """What humans are booked for, as one transaction sees it. It never commits."""

    def __init__(self, connection: sa.Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    def expect_free(self, provider_id: UUID, before: UUID, after: UUID) -> None:
        """Refuse a provider to become the human `after`; call it under the locks of both.

        Raises:
            PersonChanging: Somebody holds a slot of theirs, or the EHR has not answered to a change of a visit.
            PersonOverlaps: They would be at two visits at once; one of each pair has to be moved first.
        """
        if before == after:
            return
        values = {"provider_id": provider_id, "before": before, "after": after, "now": self._now}
        if self._connection.execute(_CHANGING, values).scalar_one():
            raise PersonChanging(f"provider {provider_id}")
        pairs = self._connection.execute(_OVERLAPPING, {**values, "most": MOST_TOLD}).all()
        if pairs:
            told = [[str(one), str(other)] for one, other in pairs]
            raise PersonOverlaps(f"provider {provider_id}", appointmentIds=told)

    def move(self, provider_id: UUID, before: UUID, after: UUID) -> int:
        """Let the provider's coming visits take the time of `after`; return how many claims that were."""
        if before == after:
            return 0
        values = {"provider_id": provider_id, "before": before, "after": after, "now": self._now}
        Claims(self._connection).drop_expired_holds([before, after], self._now)  # They would block what moves.
        self._connection.execute(_DROP_TWICE, values)
        return self._connection.execute(_MOVE, values).rowcount
