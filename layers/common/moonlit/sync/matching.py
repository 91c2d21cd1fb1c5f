"""Whose visit is it? By the EHR's client number, else by e-mail address and birth date together.

A name is no tie-breaker, and in doubt people decide: a visit shown to the wrong person cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the EHR as its visits show it; several of them may differ in what they tell.

    Attributes:
        emails: Addresses as they came.
        birth_dates: Those that the visits carry, usually one.
    """

    client_id: str | None
    emails: frozenset[str]
    birth_dates: frozenset[date]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patient who may be that client; `emails` are the primary address and the alternates."""

    patient_id: UUID
    client_id: str | None
    emails: frozenset[str]
    birth_date: date | None


@dataclass(frozen=True, slots=True)
class Review:
    """A question for people, with the patients to choose from, in a stable order."""

    reason: str
    patient_ids: tuple[UUID, ...]


def normalized(email: str) -> str:
    """Return the form in which addresses are compared: no blanks around it, case folded. Nothing else is altered."""
    return email.strip().casefold()


def match(client: Client, candidates: Collection[Candidate]) -> UUID | Review | None:
    """Return the patient that `client` is, a question for people, or None for somebody unknown.

    Args:
        client: The client.
        candidates: Every patient who has the client's number or one of the addresses; others do no harm.
    """
    numbered = [each for each in candidates if client.client_id is not None and each.client_id == client.client_id]
    if numbered:
        return numbered[0].patient_id  # The number is unique among patients.
    addresses = {normalized(email) for email in client.emails}
    reached = [each for each in candidates if addresses & {normalized(email) for email in each.emails}]
    # A client whose visits carry two birth dates fits nobody for sure.
    fitting = [each for each in reached if client.birth_dates == {each.birth_date}]
    if len(fitting) == 1:
        return fitting[0].patient_id
    if fitting:
        return _review("several_candidates", fitting)
    if reached:
        return _review("birth_date_differs" if client.birth_dates else "birth_date_missing", reached)
    return None


def _review(reason: str, candidates: Collection[Candidate]) -> Review:
    return Review(reason, tuple(sorted(each.patient_id for each in candidates)))
