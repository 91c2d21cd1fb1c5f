"""Visits that are pointed from one service instance at another: the SQL for those who merge instances.

A visit that is on its way to another time or EHR remembers, in its write, the instance that it may have to go back to
(booking/moves.py). That one is pointed at the other instance too.
"""

from __future__ import annotations

REMEMBERED = "w.move #>> '{before,service_instance_id}'"
"""The instance that a write `w` remembers, as text."""
UNSETTLED = "w.state in ('waiting', 'sending', 'unknown', 'watching')"
"""Whether a write `w` may still have to be taken back; as the indexes of ehr_writes say it."""


def repointed(pairs: str) -> str:
    """Return CTEs that point visits at the `into_id` of those `pairs`, a relation, whose `from_id` they refer to.

    `visits` are those that were moved: their `id` and `from_id`.
    """
    return f"""visits as (
        update appointments a set service_instance_id = p.into_id from {pairs} p
        where a.service_instance_id = p.from_id returning a.id, p.from_id),
    remembered as (
        update ehr_writes w set move = jsonb_set(w.move, '{{before,service_instance_id}}', to_jsonb(p.into_id))
        from {pairs} p where {REMEMBERED} = cast(p.from_id as text) and {UNSETTLED})"""
