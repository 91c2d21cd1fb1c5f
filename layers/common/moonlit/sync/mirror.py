"""The mirror: every row of an EHR account's calendar as it was last seen, matched to a patient or not."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.ehr.port import EhrVisit
from moonlit.sync import mirror_sql as sql
from moonlit.sync.matching import Candidate, Client, Review


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
        return self._execute(sql.SAVE, rows=rows, deleted=deleted, now=now).rowcount

    def unmatched(self, first: datetime, last: datetime, client_id: str | None = None) -> list[Unmatched]:
        """Return the clients of rows in [first, last) who belong to nobody yet but resemble some patient.

        Args:
            first: The beginning of the window.
            last: Its end, exclusive.
            client_id: Look at this client only.
        """
        found = self._execute(sql.UNMATCHED, first=first, last=last, client_id=client_id).scalar_one()
        return [_unmatched(*row) for row in json.loads(found or "[]")]

    def link(self, matched: Collection[tuple[Unmatched, UUID]], now: datetime, decided_by: str = sql.BY_RULE) -> None:
        """Give the clients' rows to the patients, learn the clients' numbers, close the questions about them."""
        if not matched:
            return
        rows = json.dumps([
            {"client_id": each.client.client_id, "external_id": each.external_id, "patient_id": str(patient_id)}
            for each, patient_id in matched
        ])  # fmt: skip
        self._execute(sql.LINK, rows=rows)
        self._execute(sql.LEARN, rows=rows)
        self._execute(sql.ANSWERED, rows=rows, now=now, decided_by=decided_by)

    def link_decided(self, first: datetime, last: datetime, client_id: str | None = None) -> None:
        """Give rows in [first, last) of clients that people have decided about to whom they named."""
        self._execute(sql.DECIDED, first=first, last=last, client_id=client_id)

    def propose_insurance(self, first: datetime, last: datetime, now: datetime, client_id: str | None = None) -> None:
        """Put before people what rows in [first, last) tell of their patients' insurance, each content once.

        What they have accepted goes to coming visits that were added since, and that know neither payer nor insurance.
        """
        values = {"first": first, "last": last, "now": now, "client_id": client_id}
        self._execute(sql.PROPOSE, **values)
        self._execute(sql.TAKE_OVER, **values)

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
        self._execute(sql.ASK, rows=rows, now=now)

    def reopen(self, first: datetime, last: datetime, ehr_service_ids: Collection[str]) -> None:
        """Have rows applied again whose practitioner or service has been mapped since."""
        self._execute(sql.REOPEN, first=first, last=last, ehr_service_ids=sorted(ehr_service_ids))

    def unknown(self, first: datetime, last: datetime) -> int:
        """Return how many rows in [first, last) belong to nobody."""
        return int(self._execute(sql.UNKNOWN, first=first, last=last).scalar_one())

    def patient_of(self, external_id: str) -> UUID | None:
        """Return whose visit this is: of the patient it is held for, else of its client; None for nobody's."""
        patient_id: UUID | None = self._execute(sql.PATIENT_OF, external_id=external_id).scalar_one_or_none()
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
        "insurance": visit.insurance and asdict(visit.insurance),
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
