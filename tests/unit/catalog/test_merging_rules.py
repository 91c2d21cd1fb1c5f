"""Which services may be merged, which one stays, and what becomes of the default services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.catalog.merging_rules import Counted, merged_defaults, suggested, unlike

SOURCE, TARGET, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
PLAIN = Counted(SOURCE, is_active=True, is_default=False, appointments=0, instances=0)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"is_active": True}, {"is_active": False, "is_default": True, "appointments": 9, "instances": 9}),
        ({"is_default": True}, {"appointments": 9, "instances": 9}),
        ({"appointments": 2}, {"appointments": 1, "instances": 9}),
        ({"instances": 2}, {"instances": 1}),
    ],
)
def test_what_most_depends_on_stays(better: dict[str, Any], worse: dict[str, Any]) -> None:
    one, other = replace(PLAIN, id=TARGET, **better), replace(PLAIN, id=SOURCE, **worse)
    assert suggested([one, other]) == suggested([other, one]) == TARGET
    assert suggested([PLAIN, replace(PLAIN, id=TARGET)]) == SOURCE  # The lowest id, when they are alike.


def test_services_are_unlike_in_what_visits_rely_on() -> None:
    service = {"kind": "intake", "modality": "telehealth", "room_required": False, "dose_required": False}
    assert (
        unlike(service | {"name": "a", "duration_minutes": 60}, service | {"name": "b", "duration_minutes": 50}) == []
    )
    other = {"kind": "follow_up", "modality": "in_person", "room_required": True, "dose_required": True}
    assert unlike(service, service | other) == ["kind", "modality", "roomRequired", "doseRequired"]


def entry(service_id: UUID, location: str = "Telehealth", *, required: bool = False, **mappings: str) -> dict[str, Any]:
    return {
        "name": "Intake", "service_id": str(service_id), "location": location, "pos_code": "10", "required": required,
        "mappings": mappings,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "kept", "moved"),
    [
        ([], [], 0),
        ([entry(OTHER)], [entry(OTHER)], 0),
        (
            [entry(OTHER), entry(SOURCE), entry(OTHER, "Clinic")],
            [entry(OTHER), entry(TARGET), entry(OTHER, "Clinic")],
            1,
        ),
        (
            [entry(SOURCE, required=True, intakeq="s", athena="s"), entry(TARGET, intakeq="t")],
            [entry(TARGET, required=True, intakeq="t", athena="s")],
            1,
        ),
        ([entry(TARGET), entry(SOURCE, "Clinic")], [entry(TARGET), entry(TARGET, "Clinic")], 1),
        ([entry(SOURCE, intakeq="a"), entry(SOURCE, athena="b")], [entry(TARGET, intakeq="a", athena="b")], 2),
    ],
)
def test_default_services_name_the_one_that_stays(
    entries: list[dict[str, Any]], kept: list[dict[str, Any]], moved: int
) -> None:
    assert merged_defaults(entries, SOURCE, TARGET) == (kept, moved)


ids = st.sampled_from([SOURCE, TARGET, OTHER])
systems = st.dictionaries(st.sampled_from(["intakeq", "athena"]), st.text(max_size=2))
entries = st.builds(
    lambda service_id, location, required, mappings: entry(service_id, location, required=required, **mappings),
    ids, st.sampled_from(["Telehealth", "Clinic"]), st.booleans(), systems,
)  # fmt: skip


@given(st.lists(entries, unique_by=lambda each: (each["service_id"], each["location"])))
def test_no_place_is_lost_nor_there_twice_and_a_second_merge_changes_nothing(given: list[dict[str, Any]]) -> None:
    kept, moved = merged_defaults(given, SOURCE, TARGET)
    assert moved == sum(each["service_id"] == str(SOURCE) for each in given)
    offers = [(each["service_id"], each["location"]) for each in kept]
    assert len(set(offers)) == len(offers)
    renamed = {str(SOURCE): str(TARGET)}
    assert set(offers) == {(renamed.get(each["service_id"], each["service_id"]), each["location"]) for each in given}
    assert merged_defaults(kept, SOURCE, TARGET) == (kept, 0)
