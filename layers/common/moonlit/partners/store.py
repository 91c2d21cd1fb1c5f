"""What partners may read. Each statement names the organization, and so do the policies of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

# The statements' own filter. The policies hold without it, which a test shows by leaving it out.
OURS = "organization_id = :organization_id"

_VISIT = """v.appointment_id, v."start", v."end", v.status, v.modality, v.meeting_url, v.location_info,
        v.provider_id, btrim(g.name) as provider_name"""

# The page first, then for each of its patients the visit that comes next, or runs now; who saw them last says whose
# patient they are when none comes.
_ROSTER = sa.text(f"""
    with page as (
        select * from partner_patients p
        where p.{OURS}
            and (cast(:sought as text) is null
                or strpos(lower(concat_ws(' ', btrim(p.first_name), btrim(p.last_name))), lower(:sought)) > 0)
            and (cast(:after as uuid) is null or (p.last_name, p.first_name, p.patient_id) > (
                select l.last_name, l.first_name, l.patient_id from partner_patients l
                where l.patient_id = :after and l.{OURS}))
        order by p.last_name, p.first_name, p.patient_id limit :limit
    )
    select p.patient_id, p.first_name, p.last_name, p.synced_at, p.consent, {_VISIT},
        latest.provider_id as latest_provider_id, btrim(h.name) as latest_provider_name
    from page p
    left join lateral (
        select * from partner_visits v
        where v.{OURS} and v.patient_id = p.patient_id and v.status in ('pending', 'scheduled', 'confirmed')
            and v."end" > :now
        order by v."start", v.appointment_id limit 1) v on true
    left join lateral (
        select provider_id from partner_visits w
        where w.{OURS} and w.patient_id = p.patient_id and v.appointment_id is null and w.provider_id is not null
        order by w."start" desc, w.appointment_id limit 1) latest on true
    left join providers g on g.id = v.provider_id
    left join providers h on h.id = latest.provider_id
    order by p.last_name, p.first_name, p.patient_id
""").bindparams(sa.bindparam("after", type_=sa.Uuid), sa.bindparam("organization_id", type_=sa.Uuid))

_HOUSE = sa.text("select 1 from organizations where id = :wanted and id = :organization_id")

_PATIENT = sa.text(f"""
    select patient_id, first_name, last_name, synced_at, consent from partner_patients p
    where p.patient_id = :patient_id and p.{OURS}
""")

_VISITS = sa.text(f"""
    select {_VISIT} from partner_visits v left join providers g on g.id = v.provider_id
    where v.patient_id = :patient_id and v.{OURS}
    order by v."start" desc, v.appointment_id limit :limit
""")

_TIMELINE = sa.text(f"""
    select l.at, l.kind, l.actor, l.details, btrim(u.name) as actor_name
    from patient_activity_log l
    left join partner_users u on l.actor = 'partner:' || u.id and u.{OURS}
    where l.patient_id = :patient_id and l.kind = 'ehr_sync'
        and exists (
            select from partner_patients p where p.patient_id = l.patient_id and p.consent = 'active' and p.{OURS})
    order by l.at desc, l.id limit :limit
""")

# A night asks each EHR on its own and is one refresh to who reads about it.
_HISTORY = sa.text(f"""
    with refreshes as (
        select coalesce(l.refresh_id, r.night_id, l.run_id) as id, l.sync_type, l.requested_by,
            x.at, x.new, x.updated, x.unchanged, x.errors
        from sync_patient_results x
        join lateral (  -- A night and a refresh may have the same run.
            select * from sync_logs l where l.run_id = x.run_id and l.{OURS} order by l.refresh_id limit 1) l on true
        join sync_runs r on r.id = x.run_id
        where x.patient_id = :patient_id
        union all
        select l.id, l.sync_type, l.requested_by, l.completed_at, l.new, l.updated, l.unchanged, l.errors
        from sync_logs l
        where l.patient_id = :patient_id and l.run_id is null and l.status <> 'failed'
            and (l.{OURS} or l.organization_id is null)
            and (l.sync_type <> 'webhook' or exists (  -- Which tells of a visit, and when.
                select from partner_patients p where p.patient_id = :patient_id and p.consent = 'active' and p.{OURS}))
    )
    select max(f.at) as at, f.sync_type, f.requested_by, btrim(min(u.name)) as name,
        sum(f.new) as new, sum(f.updated) as updated, sum(f.unchanged) as unchanged, sum(f.errors) as errors
    from refreshes f left join partner_users u on f.requested_by = 'partner:' || u.id and u.{OURS}
    where exists (select from partner_patients p where p.patient_id = :patient_id and p.{OURS})
    group by f.id, f.sync_type, f.requested_by
    order by max(f.at) desc, f.id limit :limit
""")

_CALENDAR = sa.text(f"""
    select v.appointment_id, v."start", v."end", v.status, v.sequence, v.updated_at, v.modality, p.patient_id,
        p.first_name, p.last_name
    from partner_visits v join partner_patients p on p.patient_id = v.patient_id and p.{OURS}
    where v.{OURS} and v."start" >= :first and v."start" < :last
    order by v."start" < :now, v."start", v.appointment_id limit :limit
""")


class Roster:
    """One organization's patients as one transaction of `seen_by` sees them."""

    def __init__(self, connection: sa.Connection, organization_id: UUID) -> None:
        self._connection = connection
        self._organization_id = organization_id

    def page(self, now: datetime, *, sought: str | None, after: UUID | None, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return patients by name, each with the visit that comes next at `now`, in one statement.

        Args:
            now: The current instant.
            sought: A part of the name.
            after: The last patient of the page before, who is one of theirs.
            limit: How many at most.
        """
        return self._rows(_ROSTER, now=now, sought=sought, after=after, limit=limit)

    def is_house(self, organization_id: UUID) -> bool:
        """Return whether it is this organization's own id."""
        return bool(self._rows(_HOUSE, wanted=organization_id))

    def patient(self, patient_id: UUID) -> Mapping[str, Any] | None:
        """Return a patient, None when they are not of this organization."""
        return next(iter(self._rows(_PATIENT, patient_id=patient_id)), None)

    def visits(self, patient_id: UUID, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return a patient's visits, the latest first; none without consent."""
        return self._rows(_VISITS, patient_id=patient_id, limit=limit)

    def timeline(self, patient_id: UUID, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return what syncs changed, the latest first; nothing without consent."""
        return self._rows(_TIMELINE, patient_id=patient_id, limit=limit)

    def history(self, patient_id: UUID, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return every refresh of a patient, the latest first; `name` is of who asked, when they are of this house."""
        return self._rows(_HISTORY, patient_id=patient_id, limit=limit)

    def calendar(self, first: datetime, now: datetime, last: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the visits that start in [first, last), by their start, those to come before those that were."""
        return self._rows(_CALENDAR, first=first, now=now, last=last, limit=limit)

    def _rows(self, statement: sa.TextClause, **values: Any) -> Sequence[Mapping[str, Any]]:
        bound = {"organization_id": self._organization_id, **values}
        return [dict(row) for row in self._connection.execute(statement, bound).mappings()]
