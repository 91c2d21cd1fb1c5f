"""The mirror: every row of an EHR account's calendar as it was last seen, matched to a patient or not."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.ehr.port import EhrVisit
from moonlit.sync.matching import Candidate, Client, Review
from moonlit.sync.sightings import MISSING
from moonlit.sync.systems import NUMBERS, SEATS, SYSTEM

# One statement however many rows. An older version of a row never replaces a newer one, and equal content is not
# written again. Deletion is final: only a later change brings a row back. Rows are taken in the order of their ids,
# so that two writers of the same rows wait for each other instead of locking crosswise.
_SAVE = sa.text(f"""
    insert into ehr_appointments as m (
        account_id, external_id, client_id, client_email, client_birth_date, practitioner_id, ehr_service_id, span,
        status, meeting_url, location_name, place_of_service, location_id, moved_to, deleted_in_ehr, modified_at,
        content_hash, raw, seen_at)
    select
        :account_id, external_id, client_id, client_email, client_birth_date, practitioner_id, ehr_service_id,
        tstzrange(starts_at, ends_at), status, meeting_url, location_name, place_of_service, location_id, moved_to,
        :deleted, modified_at, content_hash, raw, :now
    from jsonb_to_recordset(cast(:rows as jsonb)) as r (
        external_id text, client_id text, client_email text, client_birth_date date, practitioner_id text,
        ehr_service_id text, starts_at timestamptz, ends_at timestamptz, status text, meeting_url text,
        location_name text, place_of_service text, location_id text, moved_to text, modified_at timestamptz,
        content_hash text, raw jsonb)
    order by external_id
    on conflict (account_id, external_id) do update set
        client_id = excluded.client_id, client_email = excluded.client_email,
        client_birth_date = excluded.client_birth_date, practitioner_id = excluded.practitioner_id,
        ehr_service_id = excluded.ehr_service_id, span = excluded.span, status = excluded.status,
        meeting_url = excluded.meeting_url, location_name = excluded.location_name,
        place_of_service = excluded.place_of_service, location_id = excluded.location_id,
        moved_to = excluded.moved_to, deleted_in_ehr = excluded.deleted_in_ehr,
        modified_at = greatest(m.modified_at, excluded.modified_at), content_hash = excluded.content_hash,
        raw = excluded.raw, seen_at = excluded.seen_at,
        patient_id = case when m.client_id is not distinct from excluded.client_id then m.patient_id end
    where case
        when excluded.deleted_in_ehr then not m.deleted_in_ehr
        when m.deleted_in_ehr then m.modified_at < excluded.modified_at
            or (m.modified_at = excluded.modified_at and m.content_hash like '%{MISSING}')
        else m.modified_at <= excluded.modified_at and m.content_hash <> excluded.content_hash
    end
""")

# The clients of rows that belong to nobody yet, with every patient who may be meant. Clients whom nobody resembles
# are left out in SQL: most practices treat many people who are no patients here.
_UNMATCHED = sa.text(f"""
    with unmatched as (
        select coalesce(client_id, external_id) as key, client_id, external_id, client_birth_date,
            lower(btrim(client_email)) as email
        from ehr_appointments
        where account_id = :account_id and patient_id is null and span && tstzrange(:first, :last)
            and (:client_id is null or client_id = :client_id)
    ), alternates as materialized (
        select id, lower(btrim(unnest(alternate_emails))) as email from patients where alternate_emails <> '{{}}'
    ), reached as (
        select u.key, n.patient_id as id from unmatched u
        join {NUMBERS} n on n.client_id = u.client_id and n.system = {SYSTEM}
        union
        select u.key, p.id from unmatched u join patients p on lower(btrim(p.email)) = u.email
        union
        select u.key, p.id from unmatched u join alternates p on p.email = u.email
    ), clients as (
        select key, min(client_id) as client_id, min(external_id) as external_id,
            coalesce(array_agg(distinct email) filter (where email is not null), '{{}}') as emails,
            coalesce(array_agg(distinct client_birth_date) filter (where client_birth_date is not null), '{{}}')
                as births
        from unmatched where key in (select key from reached) group by key
    ), candidates as (
        select r.key, json_agg(json_build_array(p.id, n.client_id, p.email, p.alternate_emails, p.date_of_birth)
            order by p.id) as patients
        from reached r join patients p on p.id = r.id
        join {NUMBERS} n on n.patient_id = p.id and n.system = {SYSTEM} group by r.key
    )
    select json_agg(json_build_array(c.client_id, c.external_id, c.emails, c.births, k.patients) order by c.key)::text
    from clients c join candidates k on k.key = c.key
""").bindparams(sa.bindparam("client_id", type_=sa.Text))

_LINK = sa.text("""
    with linked as (
        select * from jsonb_to_recordset(cast(:rows as jsonb)) as r (client_id text, external_id text, patient_id uuid)
    )
    update ehr_appointments m set patient_id = l.patient_id
    from linked l
    where m.account_id = :account_id and m.patient_id is null
        and coalesce(m.client_id, m.external_id) = coalesce(l.client_id, l.external_id)
""")

# Only a number that one client alone brought is learned, and only where none is known: with two, nobody can say
# which of them new visits should be booked for.
_LEARN = sa.text(f"""
    with linked as (
        select patient_id, min(client_id) as client_id
        from jsonb_to_recordset(cast(:rows as jsonb)) as r (client_id text, patient_id uuid)
        where client_id is not null group by patient_id having count(*) = 1
    )
    update patients p set
        intakeq_client_id = case n.system when 'intakeq' then l.client_id else p.intakeq_client_id end,
        athena_patient_id = case n.system when 'athena' then l.client_id else p.athena_patient_id end
    from linked l join {NUMBERS} n on n.patient_id = l.patient_id and n.system = {SYSTEM} and n.client_id is null
    where p.id = l.patient_id
        and not exists (select from {NUMBERS} other where other.system = n.system and other.client_id = l.client_id)
""")

# One question for a client, not for each of its visits; what people have answered is not asked again.
_ASK = sa.text("""
    insert into match_reviews
        (id, account_id, client_id, external_id, reason, candidate_patient_ids, state, created_at)
    select id, :account_id, client_id, external_id, reason, patient_ids, 'open', :now
    from jsonb_to_recordset(cast(:rows as jsonb)) as r
        (id uuid, client_id text, external_id text, reason text, patient_ids text[])
    where not exists (
        select from match_reviews known where known.account_id = :account_id and known.client_id = r.client_id)
    on conflict (account_id, external_id) do nothing
""")

_ANSWERED = sa.text("""
    update match_reviews v set state = 'resolved'
    from jsonb_to_recordset(cast(:rows as jsonb)) as r (client_id text, external_id text)
    where v.account_id = :account_id and v.state = 'open'
        and (v.client_id = r.client_id or v.external_id = r.external_id)
""")

# A visit was taken over without its provider or service because nobody had mapped them: look again once it is known.
_REOPEN = sa.text(f"""
    update appointment_external_ids x set applied_hash = null
    from appointments a, ehr_appointments m
    where x.account_id = :account_id and m.account_id = :account_id and m.external_id = x.external_id
        and a.id = x.appointment_id and m.span && tstzrange(:first, :last)
        and ((a.provider_id is null and exists (
                select from {SEATS} s where s.system = {SYSTEM} and s.practitioner_id = m.practitioner_id
                having count(*) = 1 or bool_or(s.location_id = m.location_id)))
            or (a.service_id is null and m.ehr_service_id = any(:ehr_service_ids)))
""").bindparams(sa.bindparam("ehr_service_ids", type_=sa.ARRAY(sa.Text)))

_UNKNOWN = sa.text("""
    select count(*) from ehr_appointments
    where account_id = :account_id and patient_id is null and not deleted_in_ehr and span && tstzrange(:first, :last)
""")

_PATIENT_OF = sa.text("""
    select coalesce(a.patient_id, m.patient_id)
    from ehr_appointments m
    left join appointment_external_ids x on x.account_id = m.account_id and x.external_id = m.external_id
    left join appointments a on a.id = x.appointment_id
    where m.account_id = :account_id and m.external_id = :external_id
""")


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A client whose rows belong to nobody yet, one of those rows, and the patients who may be meant."""

    client: Client
    external_id: str
    candidates: Sequence[Candidate]


class Mirror:
    """One account's mirror as one transaction sees it. It never commits."""

    def __init__(self, connection: sa.Connection, account_id: UUID) -> None:
        self._connection = connection
        self._account_id = account_id

    def save(self, visits: Iterable[EhrVisit], now: datetime, *, deleted: bool = False) -> int:
        """Keep what is newer than what is known and return how many rows that were.

        Args:
            visits: Rows in any order; of several with one id the newest counts.
            now: The current instant.
            deleted: The EHR says that these are gone. Nothing is ever removed here.
        """
        newest: dict[str, EhrVisit] = {}
        for visit in visits:
            known = newest.get(visit.external_id)
            if known is None or known.modified_at <= visit.modified_at:
                newest[visit.external_id] = visit
        if not newest:
            return 0
        rows = json.dumps([_stored(visit, deleted=deleted) for visit in newest.values()], separators=(",", ":"))
        return self._execute(_SAVE, rows=rows, deleted=deleted, now=now).rowcount

    def unmatched(self, first: datetime, last: datetime, client_id: str | None = None) -> list[Unmatched]:
        """Return the clients of rows in [first, last) who belong to nobody yet but resemble some patient.

        Args:
            first: The beginning of the window.
            last: Its end, exclusive.
            client_id: Look at this client only.
        """
        found = self._execute(_UNMATCHED, first=first, last=last, client_id=client_id).scalar_one()
        return [_unmatched(*row) for row in json.loads(found or "[]")]

    def link(self, matched: Collection[tuple[Unmatched, UUID]]) -> None:
        """Give the clients' rows to the patients, learn the clients' numbers, close the questions about them."""
        if not matched:
            return
        rows = json.dumps([
            {"client_id": each.client.client_id, "external_id": each.external_id, "patient_id": str(patient_id)}
            for each, patient_id in matched
        ])  # fmt: skip
        self._execute(_LINK, rows=rows)
        self._execute(_LEARN, rows=rows)
        self._execute(_ANSWERED, rows=rows)

    def ask(self, questions: Collection[tuple[Unmatched, Review]], now: datetime) -> None:
        """Put the questions before people, each client once."""
        if not questions:
            return
        rows = json.dumps([
            {
                "id": str(uuid4()),
                "client_id": each.client.client_id,
                "external_id": each.external_id,
                "reason": review.reason,
                "patient_ids": [str(patient_id) for patient_id in review.patient_ids],
            }
            for each, review in questions
        ])  # fmt: skip
        self._execute(_ASK, rows=rows, now=now)

    def reopen(self, first: datetime, last: datetime, ehr_service_ids: Collection[str]) -> None:
        """Have rows applied again whose practitioner or service has been mapped since."""
        self._execute(_REOPEN, first=first, last=last, ehr_service_ids=sorted(ehr_service_ids))

    def unknown(self, first: datetime, last: datetime) -> int:
        """Return how many rows in [first, last) belong to nobody."""
        return int(self._execute(_UNKNOWN, first=first, last=last).scalar_one())

    def patient_of(self, external_id: str) -> UUID | None:
        """Return whose visit this is: of the patient it is held for, else of its client; None for nobody's."""
        patient_id: UUID | None = self._execute(_PATIENT_OF, external_id=external_id).scalar_one_or_none()
        return patient_id

    def _execute(self, statement: sa.TextClause, **values: Any) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, {"account_id": self._account_id, **values})


def _stored(visit: EhrVisit, *, deleted: bool) -> dict[str, Any]:
    return {
        "external_id": visit.external_id,
        "client_id": visit.client_id,
        "client_email": visit.client_email,
        "client_birth_date": visit.client_birth_date and visit.client_birth_date.isoformat(),
        "practitioner_id": visit.practitioner_id,
        "ehr_service_id": visit.ehr_service_id,
        "starts_at": visit.starts_at.isoformat(),
        "ends_at": visit.ends_at.isoformat(),
        "status": visit.status,
        "meeting_url": visit.meeting_url,
        "location_name": visit.location_name,
        "place_of_service": visit.place_of_service,
        "location_id": visit.location_id,
        "moved_to": visit.moved_to,
        "modified_at": visit.modified_at.isoformat(),
        # A row that is gone differs from the same row alive, so that it is applied again.
        "content_hash": f"{visit.content_hash}:deleted" if deleted else visit.content_hash,
        "raw": dict(visit.raw),
    }


def _unmatched(
    client_id: str | None, external_id: str, emails: list[str], births: list[str], candidates: list[list[Any]]
) -> Unmatched:
    client = Client(client_id, frozenset(emails), frozenset(map(date.fromisoformat, births)))
    return Unmatched(client, external_id, [_candidate(*row) for row in candidates])


def _candidate(
    patient_id: str, client_id: str | None, email: str | None, alternates: list[str], birth: str | None
) -> Candidate:
    emails = frozenset([*alternates, email] if email is not None else alternates)
    return Candidate(UUID(patient_id), client_id, emails, date.fromisoformat(birth) if birth else None)
