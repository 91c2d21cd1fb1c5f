"""The shared access token on a real database, with several processes, and before the simulator's own throttle."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.db.engine import Begin, beginner, connect
from moonlit.db.tables import ehr_accounts, ehr_tokens
from moonlit.ehr.athena import Athena, open_account
from moonlit.ehr.athena_token import Granted, SharedToken, TokenEndpoint
from moonlit.ehr.http import open_client
from moonlit.ehr.port import BudgetExhausted, EhrLockedOut, EhrUnavailable, Lane
from tests.fixtures_athena import CLIENT_ID, CLIENT_SECRET, PRACTICE, AthenaServer, StartAthena
from tests.fixtures_intakeq import DENVER, MovableClock, OpenBudget
from tests.integration.ehr.sites import VISIT, athena_account
from tests.integration.ehr.token_takers import token_elsewhere

TOKEN_PATH = "/oauth2/v1/token"
HOUR = 3600
LOGIN = (CLIENT_ID, CLIENT_SECRET)


class Vendor:
    """Gives out tokens, or fails in a given way."""

    def __init__(self, *answers: float | BaseException) -> None:
        self.answers = list(answers)
        self.calls = 0

    def ask(self) -> Granted:
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else HOUR
        if isinstance(answer, BaseException):
            raise answer
        return Granted(access_token=f"token-{self.calls}", expires_in=answer)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def account_id(begin: Begin) -> UUID:
    account_id = uuid4()
    with begin() as connection:
        connection.execute(sa.insert(ehr_accounts).values(id=account_id, system="athena", per_minute=300))
    return account_id


type Share = Callable[..., SharedToken]


@pytest.fixture
def share(begin: Begin, account_id: UUID, clock: MovableClock) -> Share:
    """Return what makes another process's view of the same token; time passes only while somebody waits."""

    def opened(vendor: Vendor, **options: Any) -> SharedToken:
        sleep = options.pop("sleep", lambda seconds: clock.advance(seconds=seconds))
        return SharedToken(begin, account_id, clock, vendor.ask, sleep=sleep, **options)

    return opened


def stored(begin: Begin) -> Any:
    with begin() as connection:
        return connection.execute(sa.select(ehr_tokens)).one()


def calls_of(server: AthenaServer) -> list[int | None]:
    return [row["status"] for row in server.requests() if row["path"] == TOKEN_PATH]


def test_one_token_serves_every_process_until_a_minute_before_it_ends(share: Share, clock: MovableClock) -> None:
    vendor = Vendor()
    first, second = share(vendor), share(vendor)
    assert [first.current(), second.current(), first.current()] == ["token-1"] * 3
    clock.advance(seconds=HOUR - 61)
    assert share(vendor).current() == first.current() == "token-1"
    clock.advance(seconds=1)
    assert [second.current(), first.current()] == ["token-2"] * 2
    assert vendor.calls == 2


def test_a_token_that_is_over_at_once_is_still_given_to_who_asked(share: Share) -> None:
    vendor = Vendor(30)
    assert share(vendor).current() == "token-1"


def test_a_token_that_was_turned_away_is_fetched_again_once_for_all(share: Share) -> None:
    vendor = Vendor()
    first, second = share(vendor), share(vendor)
    assert first.current() == second.current() == "token-1"
    first.drop("token-1")
    assert first.current() == "token-2"
    second.drop("token-1")  # It is late: the one that is stored now is good.
    assert second.current() == "token-2"
    assert vendor.calls == 2


def test_the_endpoint_is_not_called_more_often_than_it_allows(share: Share, clock: MovableClock) -> None:
    vendor = Vendor()
    token = share(vendor)
    for _ in range(5):
        token.drop(token.current())
    with pytest.raises(BudgetExhausted) as exhausted:
        token.current()
    assert vendor.calls == 5
    clock.advance(seconds=exhausted.value.retry_after - 0.001)
    with pytest.raises(BudgetExhausted):
        token.current()
    clock.advance(seconds=0.001)
    assert token.current() == "token-6"


def test_after_a_429_nobody_calls_until_the_minute_is_over(share: Share, clock: MovableClock) -> None:
    vendor = Vendor(BudgetExhausted(60.0))
    with pytest.raises(BudgetExhausted):
        share(vendor).current()
    clock.advance(seconds=47)
    with pytest.raises(BudgetExhausted) as exhausted:
        share(vendor).current()
    assert (exhausted.value.retry_after, vendor.calls) == (13.0, 1)
    clock.advance(seconds=13)
    assert share(vendor).current() == "token-2"


@pytest.mark.parametrize("error", [EhrUnavailable("x"), EhrLockedOut("x")])
def test_a_failure_lets_the_next_one_try(share: Share, begin: Begin, error: Exception) -> None:
    vendor = Vendor(error)
    with pytest.raises(type(error)):
        share(vendor).current()
    assert stored(begin).blocked_until is None
    assert share(vendor).current() == "token-2"


def test_who_dies_while_asking_is_replaced_when_their_turn_is_over(
    share: Share, begin: Begin, clock: MovableClock
) -> None:
    with pytest.raises(KeyboardInterrupt):
        share(Vendor(KeyboardInterrupt())).current()
    begun = clock.instant
    assert stored(begin).blocked_until == begun + timedelta(seconds=12)
    with pytest.raises(EhrUnavailable):
        share(Vendor(), time_left=lambda: 1.0).current()
    assert share(Vendor()).current() == "token-1"
    assert clock.instant - begun < timedelta(seconds=13)


def test_who_waits_takes_what_the_other_brings(
    share: Share, database_url: str, account_id: UUID, clock: MovableClock
) -> None:
    asked, answered = Future[None](), Future[float]()
    waited: list[float] = []

    def ask() -> Granted:
        asked.set_result(None)
        return Granted(access_token="brought", expires_in=answered.result(10))

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            answered.set_result(HOUR)
            asking.result(10)

    engine = connect(database_url)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(SharedToken(beginner(engine), account_id, clock, ask).current)
        asked.result(10)
        assert share(Vendor(AssertionError()), sleep=wait).current() == "brought"
    engine.dispose()
    assert len(waited) == 3


def test_no_transaction_is_open_while_the_endpoint_is_asked(begin: Begin, engine: sa.Engine, account_id: UUID) -> None:
    busy: list[int] = []

    def ask() -> Granted:
        busy.append(engine.pool.checkedout())  # type: ignore[attr-defined]
        return Granted(access_token="token", expires_in=HOUR)

    SharedToken(begin, account_id, MovableClock(), ask).current()
    assert busy == [0]


def test_processes_together_ask_once(
    begin: Begin, database_url: str, account_id: UUID, start_athena: StartAthena
) -> None:
    server = start_athena()
    server.fail({"method": "POST", "kind": "delay", "seconds": 0.5})
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        tokens = list(pool.map(token_elsewhere, [database_url] * 3, [account_id] * 3, [server.url] * 3, [LOGIN] * 3))
    assert len(set(tokens)) == 1
    assert calls_of(server) == [200]
    assert stored(begin).access_token == tokens[0]


# ── Before the simulator ──────────────────────────────────────────────────────────────────────────────────────────────


type OpenShared = Callable[[AthenaServer], Athena]


@pytest.fixture
def open_shared(begin: Begin, account_id: UUID, clock: MovableClock) -> Iterator[OpenShared]:
    with ExitStack() as opened:

        def start(server: AthenaServer) -> Athena:
            ehr = open_account(
                server.url,
                (server.client_id, server.client_secret),
                PRACTICE,
                budget=OpenBudget(),
                token=lambda endpoint: SharedToken(begin, account_id, clock, endpoint.ask),
                clock=clock,
                zone=DENVER,
            )
            return opened.enter_context(closing(ehr))

        yield start


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_token_that_died_early_is_replaced_within_the_call(
    start_athena: StartAthena, open_shared: OpenShared, clock: MovableClock, call: str
) -> None:
    server = start_athena(athena_account(), clock)
    ehr = open_shared(server)
    assert ehr.visit(VISIT, Lane.BOOKING)
    server.expire_tokens()
    server.forget()
    if call == "read":
        assert ehr.visit(VISIT, Lane.BOOKING)
    else:
        ehr.cancel(VISIT, "50341", "patient asked", Lane.BOOKING)
    assert [row["status"] for row in server.requests()] == [401, 200, 200]


def test_a_token_that_is_refused_for_good_is_fetched_once_and_no_more(
    start_athena: StartAthena, open_shared: OpenShared, clock: MovableClock
) -> None:
    server = start_athena(athena_account(), clock)
    ehr = open_shared(server)
    server.fail({"path": "/appointments/*", "kind": "error_before", "status": 401, "times": None})
    with pytest.raises(EhrLockedOut):
        ehr.visit(VISIT, Lane.BOOKING)
    assert [row["status"] for row in server.requests()] == [200, 401, 200, 401]


def test_an_hour_passes_and_the_next_request_has_a_new_token(
    start_athena: StartAthena, open_shared: OpenShared, clock: MovableClock
) -> None:
    server = start_athena(athena_account(), clock)
    ehr, other = open_shared(server), open_shared(server)
    for _ in range(3):
        assert ehr.visit(VISIT, Lane.BOOKING)
        assert other.visit(VISIT, Lane.BOOKING)
        clock.advance(hours=1)
    assert calls_of(server) == [200] * 3
    assert {row["status"] for row in server.requests()} == {200}


def test_the_vendors_own_throttle_stops_everybody(
    start_athena: StartAthena, open_shared: OpenShared, clock: MovableClock
) -> None:
    server = start_athena(athena_account(limits={"token_per_minute": 0}), clock)
    for _ in range(3):
        with pytest.raises(BudgetExhausted):
            open_shared(server).visit(VISIT, Lane.BOOKING)
    assert calls_of(server) == [429]
    server.settings(token_per_minute=5)
    clock.advance(seconds=60)
    assert open_shared(server).visit(VISIT, Lane.BOOKING)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error_before"}, EhrUnavailable),
        ({"kind": "drop_after"}, EhrUnavailable),
        ({"kind": "gateway"}, EhrUnavailable),
        ({"kind": "html"}, EhrUnavailable),
        ({"kind": "error_before", "status": 401}, EhrLockedOut),
        ({"kind": "error_before", "status": 400}, EhrLockedOut),
    ],
)
def test_without_a_token_nothing_is_sent(
    start_athena: StartAthena,
    open_shared: OpenShared,
    clock: MovableClock,
    fault: dict[str, Any],
    error: type[Exception],
) -> None:
    server = start_athena(athena_account(), clock)
    server.fail({"path": TOKEN_PATH, "times": None, **fault})
    with pytest.raises(error) as raised:
        open_shared(server).cancel(VISIT, "50341", "patient asked", Lane.BOOKING)
    assert raised.type is error
    assert {row["path"] for row in server.requests()} == {TOKEN_PATH}


def test_neither_the_token_nor_the_secret_shows(start_athena: StartAthena) -> None:
    server = start_athena()
    with closing(open_client(server.url, {})) as client:
        endpoint = TokenEndpoint(client, f"{server.url}{TOKEN_PATH}", LOGIN)
        granted = endpoint.ask()
    assert granted.seconds == HOUR
    assert granted.access_token not in f"{granted!r}{granted}"
    assert CLIENT_SECRET not in repr(endpoint)
