"""Find rows of the EHR that belong to nobody here and lie over visits that were booked here.

Rows of patients open their conflicts when they are applied (schedule.py); these never are.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from moonlit.sync.systems import SEATS, SYSTEM

# It begins with the visits booked here that are still to come, so its cost grows with them and not with the mirror. All
# of the mirror is looked at, not only what changed just now: a row may have been stored by a pull that failed later, or
# at the moment somebody booked. Left out are the visit's own ids, and a row that an unanswered write of it brought.
_OPEN = sa.text(f"""
    insert into schedule_conflicts (id, appointment_id, account_id, external_id, state, created_at)
    select gen_random_uuid(), booked.appointment_id, :account_id, m.external_id, 'open', :now
    from (
        select distinct c.appointment_id, c.span, s.practitioner_id
        from time_claims c
        join providers p on p.person_id = c.resource_id
        join {SEATS} s on s.provider_id = p.id and s.system = {SYSTEM}
        where c.resource_kind = 'person' and c.span && tstzrange(:now, null) and exists (
            select from ehr_writes w where w.appointment_id = c.appointment_id and w.kind = 'book')
    ) booked
    join ehr_appointments m on m.account_id = :account_id and m.practitioner_id = booked.practitioner_id
        and m.span && booked.span and m.span && tstzrange(:now, null)
        and m.status in ('scheduled', 'confirmed') and not m.deleted_in_ehr
    where m.patient_id is null and (:external_id is null or m.external_id = :external_id)
        and not exists (
            select from appointment_external_ids x
            where x.account_id = m.account_id and x.external_id = m.external_id
                and x.appointment_id = booked.appointment_id)
        and not exists (
            select from ehr_writes w
            where w.appointment_id = booked.appointment_id and w.state in ('sending', 'unknown')
                and w.client_id = m.client_id and w.practitioner_id = m.practitioner_id
                and w.starts_at = lower(m.span))
    on conflict do nothing
""").bindparams(
    sa.bindparam("external_id", type_=sa.Text), sa.bindparam("now", type_=sa.DateTime(timezone=True))
)  # fmt: skip


def open_conflicts(connection: sa.Connection, account_id: UUID, now: datetime, external_id: str | None = None) -> int:
    """Open a conflict for each coming visit booked here with a row of nobody over it; return how many are new.

    Args:
        connection: The transaction to do it in.
        account_id: The EHR account whose mirror is looked at.
        now: The current instant; what is past concerns nobody.
        external_id: Look at this row only.
    """
    values = {"account_id": account_id, "now": now, "external_id": external_id}
    return connection.execute(_OPEN, values).rowcount
