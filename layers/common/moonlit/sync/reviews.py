"""What people decide about doubtful clients of an EHR: whose their visits are, or that they are nobody's here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from moonlit.audit.store import Actor, Audit
from moonlit.clock import Clock
from moonlit.db.engine import Begin, retried_once
from moonlit.db.tables import match_reviews, patients
from moonlit.errors import NotFound
from moonlit.sync.at_once import AtOnce
from moonlit.sync.errors import AlreadyDecided, ClientTaken, SyncContended
from moonlit.sync.matching import Client
from moonlit.sync.mirror import Mirror, Unmatched
from moonlit.sync.systems import NUMBERS, SYSTEM
from moonlit.web.models import Model


class ReviewDecision(Model):
    """What somebody says: whose the visits are, or that they are nobody's here."""

    patient_id: UUID | None = None
    dismiss: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> ReviewDecision:
        if (self.patient_id is None) == (self.dismiss is None):
            raise PydanticCustomError("exactly_one", "Either a patient or a dismissal")
        return self


class ReviewDecided(Model):
    """What was decided; `patientId` is null for nobody."""

    review_id: UUID
    state: Literal["resolved", "dismissed"]
    patient_id: UUID | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Reviews:
    """The questions, and what is done about an answer; `zone` is the practice's, for instants that are shown."""

    begin: Begin
    clock: Clock
    zone: ZoneInfo

    def decide(self, review_id: UUID, decision: ReviewDecision, actor: Actor) -> ReviewDecided:
        """Keep the decision, give the client's rows to the patient, and apply them at once.

        The same decision again answers the same, and applies what still waits.

        Raises:
            NotFound: There is no such question, or no such patient.
            AlreadyDecided: Somebody decided otherwise.
            ClientTaken: The client is another patient by its number, or by rows that were given to them before.
            SyncContended: Others were at the same rows, twice in a row; what was decided stays decided.
        """
        contended = SyncContended(f"match review {review_id}")
        decided, system = retried_once(lambda: self._decide(review_id, decision, actor), contended)
        if decided.patient_id:
            reference = {"reviewId": str(review_id)}
            AtOnce(self.begin, self.clock).apply(system, [str(decided.patient_id)], actor.reference, reference)
        return decided

    def _decide(self, review_id: UUID, decision: ReviewDecision, actor: Actor) -> tuple[ReviewDecided, str]:
        now = self.clock.now()
        state: Literal["resolved", "dismissed"] = "dismissed" if decision.dismiss else "resolved"
        with self.begin() as connection:
            questions = connection.execute(_QUESTIONS, {"id": review_id}).mappings().all()
            review = next((each for each in questions if each["id"] == review_id), None)
            if review is None:
                raise NotFound(f"match review {review_id}")
            if review["state"] == "open":
                _Case(connection, actor, now, review, questions).close(state, decision.patient_id)
            elif (review["state"], review["patient_id"]) != (state, decision.patient_id):
                raise AlreadyDecided(f"match review {review_id} is {review['state']}")
        return ReviewDecided(
            review_id=review_id,
            state=state,
            patient_id=decision.patient_id,
            decided_at=(now if review["state"] == "open" else review["decided_at"]).astimezone(self.zone),
        ), review["system"]


@dataclass(frozen=True, slots=True)
class _Case:
    """An open question in the transaction that closes it; `questions` are all about its client."""

    connection: sa.Connection
    actor: Actor
    now: datetime
    review: sa.RowMapping
    questions: Sequence[sa.RowMapping]

    def close(self, state: str, patient_id: UUID | None) -> None:
        review_id = self.review["id"]
        closed = self._give_to(patient_id) if patient_id else {}
        decided = {"state": state, "patient_id": patient_id, "decided_at": self.now}
        update = sa.update(match_reviews).where(match_reviews.c.id == review_id)
        self.connection.execute(update.values(**decided, decided_by=self.actor.reference))
        Audit(self.connection, self.actor, self.now).changed(
            "decide",
            "match_review",
            review_id,
            before={"state": "open", "reason": self.review["reason"]},
            after={"state": state, "system": self.review["system"], "clientId": self.review["client_id"], **closed},
            patient_ids=[patient_id] if patient_id else (),
        )

    def _give_to(self, patient_id: UUID) -> dict[str, Any]:
        """Give the client's rows to the patient and return what the audit log is to know of it.

        A visit that somebody else has here stays theirs, whoever the EHR's client is, and so does the question about
        it: applying goes by the visit first.
        """
        if self.connection.scalar(sa.select(patients.c.id).where(patients.c.id == patient_id)) is None:
            raise NotFound(f"patient {patient_id}")
        client_id, external_id = self.review["client_id"], self.review["external_id"]
        values = {"account_id": self.review["account_id"], "client_id": client_id, "external_id": external_id}
        if self.connection.execute(_TAKEN, {**values, "patient_id": patient_id}).scalar_one():
            raise ClientTaken(f"client of match review {self.review['id']}")
        unmatched = Unmatched(Client(client_id, frozenset(), frozenset()), external_id, ())
        mirror = Mirror(self.connection, self.review["account_id"])
        mirror.link([(unmatched, patient_id)], self.now, self.actor.reference)
        return {"patientId": str(patient_id), "alsoClosed": self._closed_with_it()}

    def _closed_with_it(self) -> list[str]:
        others = [each["id"] for each in self.questions if each["state"] == "open" and each["id"] != self.review["id"]]
        query = sa.select(match_reviews.c.id).where(match_reviews.c.id.in_(others), match_reviews.c.state != "open")
        return sorted(map(str, self.connection.execute(query).scalars()))


# The question and the others about its client, locked so that two people decide one after the other.
_QUESTIONS = sa.text("""
    select v.id, v.account_id, e.system, v.client_id, v.external_id, v.reason, v.state, v.patient_id, v.decided_at
    from match_reviews asked
    join match_reviews v on v.account_id = asked.account_id and (v.id = asked.id or v.client_id = asked.client_id)
    join ehr_accounts e on e.id = v.account_id
    where asked.id = :id order by v.id for update of v
""")

_TAKEN = sa.text(f"""
    select exists (
        select from {NUMBERS} n
        where n.system = {SYSTEM} and n.client_id = :client_id and n.patient_id <> :patient_id
    ) or exists (
        select from ehr_appointments m where m.account_id = :account_id and m.patient_id <> :patient_id
            and case when :client_id is null then m.external_id = :external_id else m.client_id = :client_id end)
""").bindparams(sa.bindparam("client_id", type_=sa.Text))
