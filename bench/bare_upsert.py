"""The least that a night has to write: its rows into the mirror, in one statement."""

from __future__ import annotations

import json
from collections.abc import Iterable

import sqlalchemy as sa

from bench.practice import NOW
from moonlit.ehr.port import EhrVisit

_UPSERT = sa.text("""
insert into ehr_appointments as m (account_id, external_id, client_id, client_email, client_birth_date, practitioner_id,
                                   ehr_service_id, span, status, location_name, place_of_service, modified_at,
                                   content_hash, raw, seen_at)
select a.id, external_id, client_id, client_email, client_birth_date, practitioner_id, ehr_service_id,
       tstzrange(starts_at, ends_at), r.status, location_name, place_of_service, modified_at, content_hash, raw, :now
from ehr_accounts a, jsonb_to_recordset(cast(:rows as jsonb)) as r (
  external_id text, client_id text, client_email text, client_birth_date date, practitioner_id text,
  ehr_service_id text, starts_at timestamptz, ends_at timestamptz, status text, location_name text,
  place_of_service text, modified_at timestamptz, content_hash text, raw jsonb)
on conflict (account_id, external_id) do update set
  client_id = excluded.client_id, client_email = excluded.client_email, client_birth_date = excluded.client_birth_date,
  practitioner_id = excluded.practitioner_id, ehr_service_id = excluded.ehr_service_id, span = excluded.span,
  status = excluded.status, location_name = excluded.location_name, place_of_service = excluded.place_of_service,
  modified_at = excluded.modified_at, content_hash = excluded.content_hash, raw = excluded.raw,
  seen_at = excluded.seen_at
where m.content_hash <> excluded.content_hash
""")


def bare_upsert(connection: sa.Connection, visits: Iterable[EhrVisit]) -> None:
    """Write the visits into the mirror and commit."""
    rows = [
        {
            "external_id": visit.external_id,
            "client_id": visit.client_id,
            "client_email": visit.client_email,
            "client_birth_date": str(visit.client_birth_date),
            "practitioner_id": visit.practitioner_id,
            "ehr_service_id": visit.ehr_service_id,
            "starts_at": visit.starts_at.isoformat(),
            "ends_at": visit.ends_at.isoformat(),
            "status": visit.status,
            "location_name": visit.location_name,
            "place_of_service": visit.place_of_service,
            "modified_at": visit.modified_at.isoformat(),
            "content_hash": visit.content_hash,
            "raw": visit.raw,
        }
        for visit in visits
    ]
    connection.execute(_UPSERT, {"rows": json.dumps(rows, separators=(",", ":")), "now": NOW})
    connection.commit()
