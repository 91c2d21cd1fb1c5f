"""The steps of a sweep: each has its turn, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import pytest
from sqlalchemy.exc import ProgrammingError

from moonlit.sweeping import SweepFailed, sweep_each


def broken() -> NoReturn:
    raise ValueError("Ana Lund")


def refused() -> NoReturn:
    raise ProgrammingError("", {}, Exception({"C": "57014"}))


def test_all_that_was_done_is_added_up(caplog: pytest.LogCaptureFixture) -> None:
    assert sweep_each({"one": lambda: {"sent": 1}, "two": dict, "three": lambda: {"events": 2}}) == {
        "sent": 1,
        "events": 2,
    }
    assert [record.message for record in caplog.records] == ["swept"]


def test_a_step_that_fails_keeps_none_from_its_turn_and_fails_the_sweep(caplog: pytest.LogCaptureFixture) -> None:
    taken = []

    def step() -> Mapping[str, int]:
        taken.append(1)
        return {"events": 1}

    with pytest.raises(SweepFailed, match=r"^first, last$") as failure:
        sweep_each({"first": broken, "middle": step, "last": refused, "end": step})
    assert len(taken) == 2
    assert failure.value.__cause__ is failure.value.__context__ is None
    told = [(record.message, vars(record).get("step"), vars(record).get("error")) for record in caplog.records]
    assert told == [
        ("sweep_step_failed", "first", "ValueError"),
        ("sweep_step_failed", "last", "ProgrammingError"),
        ("swept", None, None),
    ]
    assert [vars(record).get("sqlstate") for record in caplog.records] == [None, "57014", None]
    assert vars(caplog.records[-1])["events"] == 1
    assert "Lund" not in caplog.text
