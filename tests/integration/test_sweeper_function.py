"""The sweeper as a whole: one kind of its work may be broken, and the others go on every minute."""

from __future__ import annotations

from typing import NoReturn

import pytest

from moonlit.booking.sweep import Sweeper
from moonlit.sweeping import SweepFailed
from tests.fixtures_functions import Functions, functions, loaded, sample
from tests.fixtures_intakeq import open_intakeq, start_intakeq

__all__ = ["functions", "open_intakeq", "start_intakeq"]

STEPS = {"resume_stuck": "stuck", "report_nights": "nights", "refresh_due": "open_slots"}


def broken(*_: object) -> NoReturn:
    raise ValueError


def test_whatever_breaks_the_others_have_their_turn_and_the_alarm_goes_off(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # One test for all: each would have to wait for a database of its own.
    sweeper, event = loaded("sweeper"), sample("sweeper/every_minute")
    functions.call("webhook", sample("webhook/intakeq"))
    functions.queues["EventQueue"].take()
    functions.clock.advance(minutes=6)
    with monkeypatch.context() as patch:
        patch.setattr(Sweeper, "sweep", broken)
        with pytest.raises(SweepFailed, match=r"^bookings$"):
            functions.call("sweeper", event)
    assert len(functions.queues["EventQueue"].take()) == 1
    for name, step in STEPS.items():
        caplog.clear()
        with monkeypatch.context() as patch:
            patch.setattr(sweeper, name, broken)
            with pytest.raises(SweepFailed, match=rf"^{step}$"):
                functions.call("sweeper", event)
        assert [record.message for record in caplog.records] == ["sweep_step_failed", "swept"]
        assert vars(caplog.records[-1])["holds_expired"] == 0
