"""What is stored of the practice's rules, what each is held to, and what of a change the audit log keeps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from moonlit.audit.changes import difference
from moonlit.practice.answers import RulesBody
from moonlit.practice.rules import Rules, stored

DEFAULTS = Rules().model_dump()
VALUES = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([default, 30, 45]) for name, default in DEFAULTS.items()}
)
FOREIGN = st.dictionaries(st.sampled_from(["theme", "reminders"]), st.integers())


@given(wanted=VALUES, before=VALUES, foreign=FOREIGN)
def test_what_is_stored_reads_as_it_was_wanted_and_says_no_more_than_it_has_to(
    wanted: dict[str, int], before: dict[str, int], foreign: dict[str, int]
) -> None:
    kept = stored(RulesBody(**wanted), before | foreign)
    assert Rules.model_validate(kept) == Rules(**wanted)
    assert {name: value for name, value in kept.items() if name not in DEFAULTS} == foreign
    said = kept.keys() - foreign.keys()
    assert said <= wanted.keys()
    assert all(kept[name] != DEFAULTS[name] for name in said - before.keys())
    assert stored(RulesBody(**Rules.model_validate(kept).model_dump()), kept) == kept  # As shown and sent back.


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("minNoticeMinutes", -1, "greater_than_equal"),
        ("minNoticeMinutes", "60", "int_type"),
        ("minNoticeMinutes", True, "int_type"),
        ("horizonDays", 3651, "less_than_equal"),
        ("gridMinutes", 0, "greater_than_equal"),
        ("gridMinutes", 7, "multiple_of"),
        ("guestWindowHours", 10**9, "less_than_equal"),
        ("slotsMinutes", 0, "greater_than_equal"),
        ("syncDaysBack", 10**9, "less_than_equal"),
        ("leadsPerAddressHour", -1, "greater_than_equal"),
        ("theme", 1, "extra_forbidden"),
    ],
)
def test_a_rule_is_held_to_its_bounds(member: str, value: Any, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RulesBody.model_validate({member: value})
    assert [error["type"] for error in refused.value.errors()] == [code]


def test_of_a_change_only_what_differs_is_kept() -> None:
    assert difference(RulesBody(), RulesBody(grid_minutes=30)) == ({"gridMinutes": 15}, {"gridMinutes": 30})
    assert difference(RulesBody(), RulesBody()) == ({}, {})
