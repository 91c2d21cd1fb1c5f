"""The questions about whose an EHR's visits are, with what people need to answer them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from moonlit.db.paging import by_instant
from moonlit.db.tables import ehr_accounts, match_reviews
from moonlit.web.models import Model


class ClientShown(Model):
    """A client of the EHR as its visits tell: those that belong to nobody here are waiting."""

    client_id: str | None
    emails: list[str]
    birth_dates: list[date]
    rows_waiting: int
    earliest_start: datetime | None
    next_start: datetime | None


class CandidateShown(Model):
    """A patient who may be that client."""

    patient_id: UUID
    name: str
    date_of_birth: date | None


class ReviewShown(Model):
    """A question. With the reason `client_changed` it is about the visit that one of the candidates has here."""

    review_id: UUID
    system: Literal["intakeq", "athena"]
    reason: str
    external_id: str
    appointment_id: UUID | None
    client: ClientShown
    candidates: list[CandidateShown]
    created_at: datetime


class ReviewList(Model):
    """A page of open questions, the oldest first."""

    items: list[ReviewShown]
    next_cursor: str | None

    def patient_ids(self) -> list[UUID]:
        """Return the patients who are shown."""
        return sorted({candidate.patient_id for item in self.items for candidate in item.candidates})


def open_page(connection: sa.Connection, zone: ZoneInfo, now: datetime, *, limit: int, after: str | None) -> ReviewList:
    """Return a page of the open questions, instants in `zone`; `after` is the cursor of the page before.

    Raises:
        RequestValidationError: `after` is no cursor of this list.
    """
    query = (
        sa.select(match_reviews, ehr_accounts.c.system)
        .join(ehr_accounts, ehr_accounts.c.id == match_reviews.c.account_id)
        .where(match_reviews.c.state == "open")
    )
    found = by_instant(connection, query, match_reviews.c.created_at, match_reviews.c.id, limit=limit, after=after)
    told = _told(connection, [row["id"] for row in found.rows], now)
    return ReviewList(
        items=[_shown(row, told[str(row["id"])], zone) for row in found.rows], next_cursor=found.next_cursor
    )


def _told(connection: sa.Connection, review_ids: Collection[UUID], now: datetime) -> dict[str, Any]:
    """Return what belongs to each question, by its id, in one statement for all."""
    found = connection.execute(_TOLD, {"ids": list(review_ids), "now": now}).scalar_one()
    return dict(json.loads(found or "{}"))


def _shown(row: sa.RowMapping, told: Mapping[str, Any], zone: ZoneInfo) -> ReviewShown:
    return ReviewShown(
        review_id=row["id"],
        system=row["system"],
        reason=row["reason"],
        external_id=row["external_id"],
        appointment_id=told["appointment_id"] if row["reason"] == "client_changed" else None,
        client=ClientShown(
            client_id=row["client_id"],
            emails=told["emails"],
            birth_dates=told["births"],
            rows_waiting=told["waiting"],
            earliest_start=_local(told["earliest"], zone),
            next_start=_local(told["next"], zone),
        ),
        candidates=[CandidateShown(**candidate) for candidate in told["candidates"]],
        created_at=row["created_at"].astimezone(zone),
    )


def _local(instant: str | None, zone: ZoneInfo) -> datetime | None:
    return datetime.fromisoformat(instant).astimezone(zone) if instant else None


_TOLD = sa.text("""
    select json_object_agg(v.id, json_build_object(
        'appointment_id', x.appointment_id, 'emails', c.emails, 'births', c.births, 'waiting', c.waiting,
        'earliest', c.earliest, 'next', c.next, 'candidates', p.candidates))::text
    from match_reviews v
    left join appointment_external_ids x on x.account_id = v.account_id and x.external_id = v.external_id
    cross join lateral (
        select
            coalesce(json_agg(distinct client_email) filter (where client_email is not null), '[]') as emails,
            coalesce(json_agg(distinct client_birth_date) filter (where client_birth_date is not null), '[]')
                as births,
            count(*) filter (where waits) as waiting,
            min(lower(span)) filter (where waits) as earliest,
            min(lower(span)) filter (where waits and lower(span) >= :now) as next
        from (
            select *, patient_id is null and not deleted_in_ehr as waits from ehr_appointments
            where account_id = v.account_id and v.client_id is not null and client_id = v.client_id
            union all
            select *, patient_id is null and not deleted_in_ehr from ehr_appointments
            where account_id = v.account_id and v.client_id is null and external_id = v.external_id
        ) rows
    ) c
    cross join lateral (
        select coalesce(json_agg(json_build_object('patient_id', p.id, 'date_of_birth', p.date_of_birth,
            'name', concat_ws(' ', p.first_name, p.last_name)) order by p.last_name, p.first_name, p.id), '[]')
            as candidates
        from patients p where p.id = any(v.candidate_patient_ids::uuid[])
    ) p
    where v.id = any(:ids)
""").bindparams(sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid)))
