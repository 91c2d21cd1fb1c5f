"""Follow visits that a reschedule in the EHR has given another id: they stay the one visit that they are here.

athenahealth reschedules by cancelling one appointment and booking another; the cancelled row names the new one. What
this system does so itself is noted by the booking and is left alone here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import sqlalchemy as sa

# The new id may be unknown yet, or may have been taken for a visit of its own (the stranger) when its row came first.
# A stranger that was booked here is somebody's booking, and stays one.
_MOVED = sa.text("""
    select x.appointment_id, m.external_id as old_id, m.moved_to as new_id, y.appointment_id as stranger_id
    from ehr_appointments m
    join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id and x.is_current
    join appointments a on a.id = x.appointment_id
    join ehr_appointments n on n.account_id = m.account_id and n.external_id = m.moved_to
        and n.client_id is not distinct from m.client_id
    left join appointment_external_ids y on y.account_id = n.account_id and y.external_id = n.external_id
    left join appointments stranger on stranger.id = y.appointment_id
    where m.account_id = :account_id and m.moved_to is not null and y.appointment_id is distinct from x.appointment_id
        and coalesce(stranger.patient_id, n.patient_id, a.patient_id) = a.patient_id
        and not exists (select from ehr_writes w where w.appointment_id = y.appointment_id)
        and not exists (
            select from ehr_writes w where w.appointment_id = x.appointment_id
                and w.state in ('waiting', 'sending', 'unknown')
                and (w.kind in ('cancel', 'reschedule') or w.move is not null))
    order by m.external_id
""")

_ROWS = """jsonb_to_recordset(cast(:rows as jsonb)) as r (
        appointment_id uuid, old_id text, new_id text, stranger_id uuid)"""

_RETIRE = sa.text(f"""
    update appointment_external_ids x set is_current = false
    from {_ROWS} where x.account_id = :account_id and x.external_id = r.old_id
""")

# What has been applied was applied to the stranger: the rows are looked at again.
_ADOPT = sa.text(f"""
    update appointment_external_ids x set appointment_id = r.appointment_id, applied_hash = null
    from {_ROWS} where x.account_id = :account_id and x.appointment_id = r.stranger_id
""")

_ADD = sa.text(f"""
    insert into appointment_external_ids (account_id, external_id, appointment_id)
    select :account_id, r.new_id, r.appointment_id from {_ROWS} where r.stranger_id is null
    on conflict do nothing
""")

# The new row lies over its own visit's time no more than the old one did.
_SETTLE = sa.text(f"""
    delete from schedule_conflicts c using {_ROWS}
    where c.appointment_id = r.stranger_id
        or (c.appointment_id = r.appointment_id and c.account_id = :account_id and c.external_id = r.new_id)
""")

_DROP = sa.text(f"""
    delete from appointments a using {_ROWS} where a.id = r.stranger_id
""")


@dataclass(frozen=True, slots=True)
class Moved:
    """A visit whose row names another id."""

    appointment_id: UUID
    old_id: str
    new_id: str
    stranger_id: UUID | None


def follow(connection: sa.Connection, account_id: UUID) -> int:
    """Give visits the ids that they have in the EHR by now and return how many; their rows are applied after it."""
    followed = 0
    while moves := _next_moves(connection, account_id):
        rows = json.dumps([asdict(move) for move in moves], default=str)
        for statement in (_RETIRE, _ADOPT, _ADD, _SETTLE, _DROP):
            connection.execute(statement, {"account_id": account_id, "rows": rows})
        followed += len(moves)
    return followed


def _next_moves(connection: sa.Connection, account_id: UUID) -> Sequence[Moved]:
    """Return moves that do not build on each other: of a visit that was moved twice, the first."""
    found = [Moved(*row) for row in connection.execute(_MOVED, {"account_id": account_id})]
    strangers = {move.stranger_id for move in found}
    claimed: set[str] = set()
    moves = []
    for move in found:
        if move.appointment_id not in strangers and move.new_id not in claimed:
            claimed.add(move.new_id)
            moves.append(move)
    return moves
