"""A process opens each account by its row, its settings and its secret."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit import settings, wiring
from moonlit.db.engine import Begin
from moonlit.db.tables import ehr_accounts, ehr_budget, ehr_tokens
from moonlit.ehr.athena import Athena
from moonlit.ehr.intakeq import Intakeq
from moonlit.ehr.port import Ehr, Lane
from tests.fixtures_athena import CLIENT_ID, CLIENT_SECRET, PRACTICE, StartAthena
from tests.fixtures_intakeq import DENVER, KEY, NOON, MovableClock, StartIntakeq, make_account, make_visit
from tests.integration.ehr.sites import VISIT, athena_account

SECRETS = {
    "moonlit/intakeq": {"apiKey": KEY, "webhookSecrets": ["the-secret-of-the-path"]},
    "moonlit/athena": {"clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "practiceId": int(PRACTICE)},
}


@pytest.fixture(autouse=True)
def process(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a process with this test's database and secrets."""
    clock = MovableClock()
    for name, part in (("begin", begin), ("clock", clock), ("practice_zone", DENVER)):
        monkeypatch.setattr(wiring, name, lambda part=part: part)
    monkeypatch.setattr(settings, "secret", SECRETS.__getitem__)
    for system in ("INTAKEQ", "ATHENA"):
        monkeypatch.setenv(f"{system}_SECRET_ID", f"moonlit/{system.lower()}")
    wiring.ehr_of.cache_clear()
    yield
    wiring.ehr_of.cache_clear()


def add_account(begin: Begin, system: str) -> UUID:
    account_id = uuid4()
    with begin() as connection:
        connection.execute(sa.insert(ehr_accounts).values(id=account_id, system=system, per_minute=300))
    return account_id


def used(begin: Begin, account_id: UUID) -> int:
    with begin() as connection:
        query = sa.select(ehr_budget.c.day_used).where(ehr_budget.c.account_id == account_id)
        return int(connection.execute(query).scalar_one())


def shown(ehr: Ehr, external_id: str) -> bool:
    visit = ehr.visit(external_id, Lane.BOOKING)
    return visit is not None and visit.starts_at == NOON


def test_an_account_of_athenahealth_is_opened_with_a_shared_token(
    begin: Begin, start_athena: StartAthena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATHENA_BASE_URL", start_athena(athena_account(), wiring.clock()).base_url)
    account_id = add_account(begin, "athena")
    ehr = wiring.ehr_of(account_id)
    assert isinstance(ehr, Athena)
    assert shown(ehr, VISIT)
    assert wiring.ehr_of(account_id) is ehr
    ehr.close()
    assert used(begin, account_id) == 2  # The departments, and the visit.
    with begin() as connection:
        assert connection.execute(sa.select(ehr_tokens.c.account_id)).scalar_one() == account_id


def test_an_account_of_intakeq_is_opened_with_its_key(
    begin: Begin, start_intakeq: StartIntakeq, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_intakeq(make_account(appointments=[make_visit(1, NOON)]))
    monkeypatch.setenv("INTAKEQ_BASE_URL", server.base_url)
    account_id = add_account(begin, "intakeq")
    ehr = wiring.ehr_of(account_id)
    assert isinstance(ehr, Intakeq)
    assert shown(ehr, f"{1:024x}")
    ehr.close()
    assert used(begin, account_id) == 1
