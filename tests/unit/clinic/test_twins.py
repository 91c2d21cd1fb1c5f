from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from local.clinic.twins import surplus

LOW, HIGH, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)


def clinic(*instances: Any, mapped: tuple[UUID, ...] = (), referenced: tuple[UUID, ...] = ()) -> Any:
    return SimpleNamespace(
        rows={
            "service_instances": instances,
            "service_instance_integrations": [SimpleNamespace(service_instance_id=one) for one in mapped],
            "appointments": [SimpleNamespace(service_instance_id=one) for one in referenced],
        }
    )


def instance(row_id: UUID, **differs: Any) -> SimpleNamespace:
    same = {"service_id": "intake", "payer_id": "payer", "location": "Telehealth", "pos_code": "10", "retired_at": None}
    return SimpleNamespace(id=row_id, **(same | differs))


def test_the_mapped_twin_stays_although_the_other_is_used_more() -> None:
    assert surplus(clinic(instance(LOW), instance(HIGH), mapped=(HIGH,), referenced=(LOW, LOW))) == {LOW}


def test_of_unmapped_twins_the_one_that_is_used_most_stays() -> None:
    assert surplus(clinic(instance(LOW), instance(HIGH), referenced=(LOW, HIGH, HIGH))) == {LOW}


def test_of_equal_twins_the_lowest_id_stays() -> None:
    assert surplus(clinic(instance(HIGH), instance(OTHER), instance(LOW))) == {HIGH, OTHER}


@pytest.mark.parametrize(
    "differs",
    [
        {"service_id": "other"},
        {"payer_id": "other"},
        {"location": "Clinic"},
        {"pos_code": "02"},
        {"retired_at": "then"},
    ],
)
def test_what_differs_in_one_thing_is_no_twin(differs: dict[str, Any]) -> None:
    assert surplus(clinic(instance(LOW), instance(HIGH, **differs))) == set()


def test_orphans_are_no_twins() -> None:
    assert surplus(clinic(instance(LOW, payer_id=None), instance(HIGH, payer_id=None))) == set()
