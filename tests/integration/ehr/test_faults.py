"""Every fault of the vendors on every call: what the caller is told, and what really happened."""

from __future__ import annotations

from typing import Any

import pytest

from moonlit.ehr import http
from moonlit.ehr.port import (
    BudgetExhausted,
    EhrError,
    EhrLockedOut,
    EhrOutcomeUnknown,
    EhrUnavailable,
    Lane,
)
from tests.fixtures_intakeq import OpenBudget
from tests.integration.ehr.sites import ALL_READS, ALL_WRITES, DAY, FREEZES, READS, WRITES, AthenaSite, Site

NOBODY = "http://127.0.0.1:9"
UNKNOWN, AWAY = EhrOutcomeUnknown, EhrUnavailable

# The fault; what a write says; what a read says when it never ends; whether a write had its effect.
FAULTS: list[tuple[dict[str, Any], type[EhrError], type[EhrError], bool]] = [
    ({"kind": "error_before"}, UNKNOWN, AWAY, False),
    ({"kind": "error_before", "status": 503}, UNKNOWN, AWAY, False),
    ({"kind": "error_before", "status": 403}, EhrLockedOut, EhrLockedOut, False),
    ({"kind": "error_before", "status": 408}, UNKNOWN, AWAY, False),
    ({"kind": "error_before", "status": 302}, UNKNOWN, AWAY, False),
    ({"kind": "error_after"}, UNKNOWN, AWAY, True),
    ({"kind": "drop_before"}, UNKNOWN, AWAY, False),
    ({"kind": "drop_after"}, UNKNOWN, AWAY, True),
    ({"kind": "html"}, UNKNOWN, AWAY, False),
    ({"kind": "html", "status": 502}, UNKNOWN, AWAY, False),
    ({"kind": "html", "status": 404}, AWAY, AWAY, False),
    ({"kind": "html_after"}, UNKNOWN, AWAY, True),
    ({"kind": "gateway"}, UNKNOWN, AWAY, False),
    ({"kind": "gateway", "status": 400}, AWAY, AWAY, False),
    ({"kind": "gateway", "status": 403}, EhrLockedOut, EhrLockedOut, False),
    ({"kind": "gateway", "status": 404}, AWAY, AWAY, False),
    ({"kind": "gateway_after", "status": 504}, UNKNOWN, AWAY, True),
    ({"kind": "error_before", "status": 402}, EhrLockedOut, EhrLockedOut, False),
    ({"kind": "429"}, BudgetExhausted, BudgetExhausted, False),
]


@pytest.mark.parametrize(("site", "call"), ALL_WRITES, indirect=["site"])
@pytest.mark.parametrize(("fault", "error", "_read_error", "has_effect"), FAULTS)
def test_a_write_says_whether_it_may_have_had_an_effect(
    site: Site, call: str, fault: dict[str, Any], error: type[EhrError], _read_error: object, *, has_effect: bool
) -> None:
    before = site.content()
    site.server.fail(*({"method": method, **fault} for method in ("POST", "PUT")))
    with pytest.raises(EhrError) as raised:
        WRITES[site.name][call](site, site.ehr)
    assert raised.type is error
    assert sum(row["method"] != "GET" for row in site.server.requests()) == 1  # A write is never repeated.
    assert (site.content() != before) is has_effect


@pytest.mark.parametrize(("site", "call"), ALL_WRITES, indirect=["site"])
@pytest.mark.parametrize("kind", ["delay", "delay_after"])
def test_a_write_waits_no_longer_than_its_process_lives(
    site: Site, monkeypatch: pytest.MonkeyPatch, call: str, kind: str
) -> None:
    monkeypatch.setattr(http, "_LEAST_FOR_WRITE_SECONDS", 0)
    hurried = site.open(time_left=lambda: 1.3)  # One second is kept to write the outcome down.
    site.server.fail(*({"method": method, "kind": kind, "seconds": 30} for method in ("POST", "PUT")))
    with pytest.raises(EhrOutcomeUnknown):
        WRITES[site.name][call](site, hurried)


@pytest.mark.parametrize(("site", "call"), ALL_WRITES, indirect=["site"])
def test_a_write_that_could_be_cut_off_is_not_begun(site: Site, call: str) -> None:
    before = site.content()
    with pytest.raises(EhrUnavailable):
        WRITES[site.name][call](site, site.open(time_left=lambda: 5.0))
    assert {row["method"] for row in site.server.requests()} <= {"GET"}
    assert site.content() == before


def test_a_read_waits_no_longer_than_its_process_lives(site: Site) -> None:
    hurried = site.open(time_left=lambda: 1.3)
    site.server.fail({"kind": "delay", "seconds": 30, "times": None})
    with pytest.raises(EhrUnavailable):
        hurried.visit(site.visit_id, Lane.WEBHOOK)


@pytest.mark.parametrize(("site", "call"), ALL_READS, indirect=["site"])
@pytest.mark.parametrize(("fault", "_write_error", "error", "_has_effect"), FAULTS)
def test_a_read_is_tried_three_times_unless_that_cannot_help(
    site: Site, call: str, fault: dict[str, Any], _write_error: object, error: type[EhrError], _has_effect: object
) -> None:
    site.server.fail({**fault, "times": None})
    with pytest.raises(EhrError) as raised:
        READS[site.name][call](site, site.ehr)
    attempts = 3 if error is EhrUnavailable else 1
    assert raised.type is error
    assert len(site.server.requests()) == len(site.budget.taken) == attempts


@pytest.mark.parametrize(("site", "call"), ALL_READS, indirect=["site"])
@pytest.mark.parametrize("kind", ["error_before", "drop_after", "html"])
def test_a_read_gets_over_two_failures(site: Site, call: str, kind: str) -> None:
    site.server.fail({"kind": kind, "times": 2})
    READS[site.name][call](site, site.ehr)
    assert site.server.requests()[-1]["status"] == 200


@pytest.mark.parametrize(("site", "call"), ALL_WRITES, indirect=["site"])
def test_a_write_to_nobody_surely_had_no_effect(site: Site, call: str) -> None:
    with pytest.raises(EhrUnavailable):
        WRITES[site.name][call](site, site.open(url=NOBODY))


class EmptyBudget(OpenBudget):
    def take(self, lane: Lane) -> None:
        super().take(lane)
        raise BudgetExhausted(12.0)


@pytest.mark.parametrize(("site", "call"), [*ALL_WRITES, *ALL_READS], indirect=["site"])
def test_nothing_is_sent_when_no_time_is_left_or_the_budget_is_empty(site: Site, call: str) -> None:
    calls, budget = WRITES[site.name] | READS[site.name], EmptyBudget()
    with pytest.raises(EhrUnavailable):
        calls[call](site, site.open(time_left=lambda: 0.9))
    with pytest.raises(BudgetExhausted) as exhausted:
        calls[call](site, site.open(budget))
    assert (exhausted.value.retry_after, len(budget.taken)) == (12.0, 1)
    assert site.server.requests() == []


@pytest.mark.parametrize(("told", "seconds"), [(None, 60.0), (7, 7.0), (86_400, 3600.0)])
def test_a_429_makes_everybody_back_off(site: Site, told: int | None, seconds: float) -> None:
    site.server.fail({"kind": "429", "retry_after": told})
    with pytest.raises(BudgetExhausted) as exhausted:
        site.ehr.visit(site.visit_id, Lane.WEBHOOK)
    assert (site.budget.pauses, exhausted.value.retry_after) == ([seconds], seconds)


def test_a_wrong_key_locks_out(site: Site) -> None:
    with pytest.raises(EhrLockedOut):
        site.locked().window(DAY, DAY, 1, Lane.NIGHTLY)


@pytest.mark.parametrize("call", FREEZES)
@pytest.mark.parametrize(
    ("fault", "error", "_read_error", "has_effect"),
    [each for each in FAULTS if each[0].get("status") not in (402, 403)],
)
def test_a_freeze_says_whether_it_may_have_had_an_effect(
    athena_site: AthenaSite,
    call: str,
    fault: dict[str, Any],
    error: type[EhrError],
    _read_error: object,
    *,
    has_effect: bool,
) -> None:
    before = athena_site.content()
    athena_site.server.fail({"method": "PUT", **fault})
    with pytest.raises(EhrError) as raised:
        FREEZES[call](athena_site, athena_site.ehr)
    assert raised.type is error
    assert athena_site.sent() == ["PUT"]
    assert (athena_site.content() != before) is has_effect
