"""Whatever happens in the EHR, and however the webhooks about it arrive: after the next night we have what it has.

`HISTORIES_SEED=<seed> HISTORY=<number>` plays one history alone, as a failure names it.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

from local.simulators.intakeq import listing
from local.simulators.intakeq.account import Account
from local.simulators.intakeq.visits import Visits
from local.simulators.intakeq.wire import to_ms
from moonlit.db import tables as t
from moonlit.ehr.http import EhrHttp, unlimited
from moonlit.ehr.intakeq import Intakeq, refusal_code
from moonlit.sync.applying import Applier
from moonlit.sync.pull import Meter
from moonlit.sync.webhook import Inbox, Receiver
from tests.fixtures_intakeq import DENVER, OTHER_PRACTITIONER, PRACTITIONER, OpenBudget
from tests.fixtures_sync import MemoryQueue, Practice, nobody_asks
from tests.integration.sync.histories import BORN, Delivery, History, Meaning, Meant, Telling, account_file

HISTORIES = 250  # For each of the two tests.
SECRET = "long-random-path-segment"


def seed() -> int:
    chosen = int(os.environ.get("HISTORIES_SEED") or random.SystemRandom().randrange(1_000_000))
    sys.stdout.write(f"HISTORIES_SEED={chosen}\n")
    return chosen


def numbers(first: int) -> list[int]:
    alone = os.environ.get("HISTORY")
    return [number for number in range(first, first + HISTORIES) if not alone or number == int(alone)]


@dataclass
class World:
    """The EHR's account, our practice, and what travels between them."""

    practice: Practice
    histories: list[History]
    account: Account = field(init=False)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    _applied: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        clock = self.practice.clock
        self.account = Account(account_file(self.histories), to_ms(clock.now()))
        clients = [client for history in self.histories for client in history.clients]
        self.meaning = Meaning({client.client_id: client for client in clients})
        born = date.fromisoformat(BORN)
        patients = [
            {
                "id": patient_id,
                "first_name": "Ana",
                "last_name": "Lund",
                "date_of_birth": born,
                "email": client.email if client.known_as != "number" else None,
                "intakeq_client_id": str(client.client_id) if client.known_as == "number" else None,
            }
            for client in clients
            for patient_id in client.patient_ids
        ]
        with self.practice.begin() as connection:
            connection.execute(sa.insert(t.patients), patients)
        self.practice.organization()
        self.providers = {
            self.practice.provider_id: PRACTITIONER,
            self.practice.provider(OTHER_PRACTITIONER): OTHER_PRACTITIONER,
        }
        self.receiver = Receiver(Inbox(self.practice.begin, clock, self.queue), [SECRET])
        self.applier = Applier(self.practice.begin, clock, nobody_asks, nobody_asks)
        self._during: Iterator[Delivery] = iter(())
        self._page: list[tuple[Mapping[str, Any], bool]] = []

    def happen(self) -> None:
        """Let everything happen in the EHR that the histories are about."""
        telling = Telling(self.account.practice_id)
        calendar = Visits(self.account, telling, self.practice.clock)
        for history in self.histories:
            history.happen(calendar, self.account, telling, self.practice.clock)

    def deliver(self, delivery: Delivery) -> None:
        """Let a webhook arrive, and its messages after it."""
        body = delivery.told.bytes
        self.receiver.receive(SECRET, body)
        messages = self.queue.take()
        assert len(messages) == (body not in self._applied), messages
        for _ in range(delivery.messages):
            for message in messages:
                self.applier.apply(UUID(message["eventId"]))
                self.meaning.show(delivery.told.row, deleted=delivery.told.deletes)
                self._applied.add(body)

    def night(self, during: list[Delivery], between: list[Delivery]) -> None:
        """Run a night; webhooks arrive after each page was answered, and between the pull and the workers."""
        self._during = iter(during)
        transport = httpx.MockTransport(self._answer)
        with closing(httpx.Client(transport=transport, base_url="http://intakeq/")) as client:
            meter = Meter(OpenBudget())
            ehr = Intakeq(EhrHttp(client, meter, refusal_code=refusal_code, time_left=unlimited), DENVER)
            nightly = self.practice.nightly(ehr, meter)
            run_id = nightly.start("automated_daily", confirm_brake=True)
        self._kept()
        for delivery in [*self._during, *between]:
            self.deliver(delivery)
        self.practice.apply_all()
        assert nightly.summary(run_id)["state"] == "completed"

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self._kept()  # Whoever asks for the next page has stored the last one.
        parameters = listing.lower_names(request.url.params)
        now = to_ms(self.practice.clock.now())
        rows = listing.page_of(listing.appointments(self.account, parameters, now), parameters)
        self._page = [(row, "deletedonly" in parameters) for row in rows]
        for _ in range(10):
            if delivery := next(self._during, None):
                self.deliver(delivery)
        return httpx.Response(200, json=[listing.list_row(row) for row in rows])

    def _kept(self) -> None:
        for row, deleted in self._page:
            self.meaning.show(row, deleted=deleted)
        self._page = []

    def check(self) -> None:
        """Compare our visits with what the EHR's mean."""
        ours = self._ours()
        wrong: list[str] = []
        for history in self.histories:
            for row, deleted in history.rows(self.account):
                wanted, found = self.meaning.of(row, deleted=deleted), ours.pop(row["Id"], None)
                if wanted != found:
                    wrong.append(f"{history}\n  visit {row['Id'][-4:]}: {found}\n  instead of {wanted}")
        assert not wrong, f"{len(wrong)} visits are wrong, the first of\n" + wrong[0]
        assert not ours, ours

    def _ours(self) -> dict[str, Meant]:
        claims = self.practice.rows(
            "select appointment_id, resource_kind, resource_id, lower(span) first, upper(span) last from time_claims"
            " where not enforced"
        )
        by_visit: dict[UUID, list[tuple[str, datetime, datetime]]] = {}
        for row in claims:
            by_visit.setdefault(row["appointment_id"], []).append((row["resource_kind"], row["first"], row["last"]))
        found = self.practice.rows("select a.*, x.external_id from appointments a left join appointment_external_ids x "
                                   "on x.appointment_id = a.id")  # fmt: skip
        assert len({row["id"] for row in found}) == len({row["external_id"] for row in found}) == len(found)
        return {row["external_id"]: self._meant(row, by_visit.get(row["id"], [])) for row in found}

    def _meant(self, row: Mapping[str, Any], claims: list[tuple[str, datetime, datetime]]) -> Meant:
        assert len(set(claims)) == len(claims), claims
        return Meant(
            patient_id=row["patient_id"],
            practitioner_id=self.providers.get(row["provider_id"]),
            start=row["start"],
            end=row["end"],
            status=row["status"],
            deleted=row["deleted_in_ehr"],
            link=row["meeting_url"],
            kind=(row["location_info"] or {}).get("kind"),
            claims=frozenset(claims),
        )


@pytest.mark.parametrize("is_known_before", [True, False], ids=["another night", "first night"])
def test_after_a_night_we_have_what_the_ehr_has(practice: Practice, *, is_known_before: bool) -> None:
    chosen = seed()
    first = 0 if is_known_before else HISTORIES
    histories = [History(chosen, number, is_known_before=is_known_before) for number in numbers(first)]
    if not histories:
        pytest.skip("the one that was asked for belongs to the other test")
    world = World(practice, histories)
    if is_known_before:
        world.night([], [])
        practice.clock.advance(hours=1)
    world.happen()
    phases: dict[str, list[Delivery]] = {"before": [], "during": [], "between": [], "after": []}
    for history in histories:
        for delivery in history.deliveries():
            phases[delivery.when].append(delivery)
    for delivery in phases["before"]:
        world.deliver(delivery)
    practice.clock.advance(hours=15)
    world.night(phases["during"], phases["between"])
    world.check()
    for delivery in phases["after"]:
        world.deliver(delivery)
    world.check()
    told = sum(len(history.told) for history in histories)
    sys.stdout.write(f"{len(histories)} histories, {told} webhooks, {len(world._applied)} applied\n")
