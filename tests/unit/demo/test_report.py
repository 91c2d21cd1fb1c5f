"""The report says what held, what did not and why, and goes on."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from local.demo import report as reports
from local.demo.report import NotHeld, Report, columns, given, hold, until


def told(*steps: Iterator[str]) -> tuple[str, Report]:
    out = io.StringIO()
    report = Report(out)
    for number, step in enumerate(steps):
        report.step(f"Step {number}", step)
    return out.getvalue(), report


def good() -> Iterator[str]:
    yield "it works"
    hold("two are two", expected=2, seen=2)


def broken() -> Iterator[str]:
    yield "it begins"
    hold("two are three", expected=3, seen=2)
    yield "never said"


def without_what_it_needs() -> Iterator[str]:
    given(None, "slot")
    yield "never said"


def with_a_bug() -> Iterator[str]:
    yield {"something": "known"}["nothing"]


def test_a_step_that_does_not_hold_says_what_was_expected_and_seen_and_the_next_goes_on() -> None:
    text, report = told(broken(), good())
    assert "it begins" in text
    assert "FAILED: two are three\n        expected  3\n        seen      2\n" in text
    assert "never said" not in text
    assert (report.steps, report.held) == (2, 1)
    assert "it works\n      ok, " in text


@pytest.mark.parametrize(
    ("step", "words"),
    [(without_what_it_needs, "NOT TRIED: there is no slot"), (with_a_bug, "FAILED: the step itself broke: KeyError")],
)
def test_what_cannot_be_told_counts_as_not_held(step: type[Iterator[str]], words: str) -> None:
    text, report = told(step())
    assert words in text
    assert not report.verdict(1.0)


def test_the_verdict_is_good_only_when_every_step_held() -> None:
    assert told(good(), good())[1].verdict(1.0)
    assert not told(good(), broken())[1].verdict(1.0)


def test_long_lines_are_wrapped_below_their_own_beginning() -> None:
    text, _ = told(iter(["  " + "word " * 40]))
    lines = [line for line in text.splitlines() if "word" in line]
    assert len(lines) > 1
    assert max(map(len, lines)) <= reports.WIDTH
    assert all(line.startswith(" " * 8) for line in lines)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(columns([("a", 1), ("long", 22)])) == ["a     1", "long  22"]
    assert list(columns([])) == []


def test_looking_in_vain_ends() -> None:
    with pytest.raises(NotHeld, match="it comes"):
        until(lambda: None, "it comes", seconds=0.0)
    assert until(lambda: 7, "it comes") == 7
