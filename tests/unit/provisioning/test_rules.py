"""What a plan says: desired minus actual, by cases and by properties over random payers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.payers.rules import Payer
from moonlit.provisioning.rules import (
    DUPLICATE_ON_IMPORT,
    Action,
    Candidate,
    DefaultService,
    Instance,
    Offer,
    Step,
    Strategy,
    for_review,
    is_ready,
    plan,
    rank,
    remove_orphans,
    wanted,
)

INTAKE, SHORT = UUID(int=1), UUID(int=2)
PAYER = Payer(UUID(int=9), "Cedar Health", "private", "approved")
DEFAULTS = [
    DefaultService(Offer(INTAKE, "Telehealth", "10"), {"intakeq": "i-1", "athena": "a-1"}),
    DefaultService(Offer(SHORT, "Telehealth", "10"), {"intakeq": "i-2"}),
]
INTAKES = frozenset({INTAKE})


def instance(number: int, *, service: UUID = INTAKE, pos_code: str = "10", retired: str | None = None,
             references: int = 0, **mappings: str) -> Instance:  # fmt: skip
    return Instance(UUID(int=number), Offer(service, "Telehealth", pos_code), retired, references, mappings)


def candidate(*instances: Instance, status: str | None = "approved", contracted: bool = True) -> Candidate:
    return Candidate(replace(PAYER, status_code=status), contracted, instances)


def planned(payer: Candidate, strategy: Strategy = Strategy.HYBRID) -> list[Step]:
    return list(plan(payer, DEFAULTS, strategy))


def told(steps: list[Step]) -> list[tuple[str, UUID, str | None]]:
    return [(step.action, step.service_id, (step.after or {}).get("system")) for step in steps]


def test_a_payer_without_anything_is_given_everything() -> None:
    assert told(planned(candidate())) == [
        ("create_instance", INTAKE, None),
        ("create_mapping", INTAKE, "intakeq"),
        ("create_mapping", INTAKE, "athena"),
        ("create_instance", SHORT, None),
        ("create_mapping", SHORT, "intakeq"),
    ]


def test_what_is_there_is_left_and_what_is_wrong_is_repaired() -> None:
    steps = planned(candidate(instance(20, intakeq="wrong", athena="a-1"), instance(21, service=SHORT, intakeq="i-2")))
    (step,) = steps
    assert (step.action, step.instance_id) == (Action.REPAIR_MAPPING, UUID(int=20))
    assert step.before == {"system": "intakeq", "externalId": "wrong"}
    assert step.after == {"system": "intakeq", "externalId": "i-1"}


def test_an_instance_elsewhere_or_out_of_use_is_not_the_default_one() -> None:
    steps = planned(candidate(instance(20, pos_code="02"), instance(21, retired="retired_by_staff")))
    assert told(steps)[0] == ("create_instance", INTAKE, None)


def test_the_same_plan_names_the_same_rows_and_a_later_one_others() -> None:
    first, again = planned(candidate()), planned(candidate())
    assert [step.instance_id for step in first] == [step.instance_id for step in again]
    later = planned(candidate(instance(20, retired="retired_by_staff")))
    assert later[0].instance_id != first[0].instance_id


@pytest.mark.parametrize(
    ("twins", "kept"),
    [
        ([instance(20), instance(21, retired=DUPLICATE_ON_IMPORT)], 20),
        ([instance(20), instance(21, retired=DUPLICATE_ON_IMPORT, intakeq="i-1")], 21),  # The mapped.
        ([instance(20, references=1), instance(21, retired=DUPLICATE_ON_IMPORT, references=2)], 21),
        ([instance(20, intakeq="x"), instance(21, retired=DUPLICATE_ON_IMPORT, references=9)], 20),
        ([instance(21), instance(20, retired=DUPLICATE_ON_IMPORT)], 20),  # The lowest id.
    ],
)
def test_of_twins_one_stays(twins: list[Instance], kept: int) -> None:
    (step,) = [step for step in planned(candidate(*twins)) if step.action is Action.RETIRE_DUPLICATE]
    (lost,) = {20, 21} - {kept}
    assert (step.instance_id, step.merged_into) == (UUID(int=lost), UUID(int=kept))
    assert step.revives == (next(twin for twin in twins if twin.id == step.instance_id).is_live)


def test_what_people_retired_is_no_twin() -> None:
    twins = instance(20, intakeq="i-1", athena="a-1"), instance(21, retired="retired_by_staff", references=9)
    assert Action.RETIRE_DUPLICATE not in {step.action for step in planned(candidate(*twins))}


def test_what_is_left_of_twins_is_merged_into_what_is_made() -> None:
    steps = planned(candidate(instance(21, retired=DUPLICATE_ON_IMPORT), instance(22, retired=DUPLICATE_ON_IMPORT)))
    made = steps[0]
    assert made.action is Action.CREATE_INSTANCE
    assert [(step.instance_id.int, step.merged_into) for step in steps[1:3]] == [
        (21, made.instance_id),
        (22, made.instance_id),
    ]


@pytest.mark.parametrize(
    ("status", "contracted", "strategies"),
    [
        ("approved", True, {"contracted", "hybrid", "all"}),
        (None, True, {"contracted", "hybrid", "all"}),
        ("approved", False, {"hybrid", "all"}),
        ("pending", False, {"hybrid", "all"}),
        (None, False, {"all"}),
        ("suspended", True, {"all"}),
        ("rejected", True, {"all"}),
    ],
)
def test_whom_a_strategy_means(status: str | None, *, contracted: bool, strategies: set[str]) -> None:
    payer = candidate(status=status, contracted=contracted)
    assert {strategy for strategy in Strategy if wanted(payer, strategy)} == strategies
    reviewed = {strategy for strategy in Strategy if for_review(payer, strategy)}
    assert reviewed == ({Strategy.HYBRID} if status is None and not contracted else set())


def test_a_payer_whom_the_strategy_does_not_mean_only_loses_duplicates() -> None:
    twins = instance(20, references=1), instance(21, retired=DUPLICATE_ON_IMPORT)
    unmeant = candidate(*twins, status=None, contracted=False)
    assert [step.action for step in planned(unmeant)] == [Action.RETIRE_DUPLICATE]


@pytest.mark.parametrize("strategy", [Strategy.CONTRACTED, Strategy.HYBRID])
def test_a_payer_that_is_barred_is_left_alone(strategy: Strategy) -> None:
    twins = instance(20, references=1, intakeq="wrong"), instance(21, retired=DUPLICATE_ON_IMPORT)
    assert planned(candidate(*twins, status="rejected"), strategy) == []


def test_what_an_ehr_knows_a_twin_by_is_not_lost_with_it() -> None:
    twins = instance(20, intakeq="i-1", references=9), instance(21, retired=DUPLICATE_ON_IMPORT, athena="a-7")
    merged, carried = planned(candidate(*twins, status=None, contracted=False))
    assert merged.merged_into == carried.instance_id == UUID(int=20)
    assert (carried.action, carried.after) == (Action.CREATE_MAPPING, {"system": "athena", "externalId": "a-7"})
    desired = [step for step in planned(candidate(*twins)) if (step.after or {}).get("system") == "athena"]
    assert [(step.action, (step.after or {})["externalId"]) for step in desired] == [(Action.CREATE_MAPPING, "a-1")]


def test_an_id_that_went_to_another_offer_is_passed_over() -> None:
    made = planned(candidate())[0]
    moved = Instance(made.instance_id, Offer(SHORT, "Telehealth", "99"), None, 0, {})
    again = planned(candidate(moved))[0]
    assert (again.action, again.service_id) == (Action.CREATE_INSTANCE, INTAKE)
    assert again.instance_id != made.instance_id


def test_orphans_go_unless_somebody_refers_to_them() -> None:
    steps, kept = remove_orphans([instance(20, intakeq="x"), instance(21, references=1)])
    assert [(step.action, step.instance_id) for step in steps] == [(Action.REMOVE_ORPHAN, UUID(int=20))]
    assert steps[0].before == {
        "location": "Telehealth", "posCode": "10", "retiredReason": None, "mappings": {"intakeq": "x"},
    }  # fmt: skip
    assert [orphan.id for orphan in kept] == [UUID(int=21)]


def test_insurances_come_before_those_who_pay_themselves() -> None:
    payers = [Payer(UUID(int=n), name, kind, None) for n, (name, kind) in enumerate(
        [("Ash", "self_pay"), ("Oak", "medicaid"), (" Elm", "private"), ("Elm", "medicaid")])]  # fmt: skip
    assert [payer.id.int for payer in sorted(payers, key=rank)] == [2, 3, 1, 0]


# ── Properties ────────────────────────────────────────────────────────────────────────────────────────────────────────

MAPPINGS = st.dictionaries(st.sampled_from(["intakeq", "athena"]), st.sampled_from(["i-1", "a-1", "i-2", "odd"]))
RETIRED = st.sampled_from([None, DUPLICATE_ON_IMPORT, "retired_by_staff"])


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    """Draw a payer as the database lets one be: of one offer at most one instance is live."""
    instances, live = [], set()
    for number in range(draw(st.integers(0, 6))):
        offer = Offer(draw(st.sampled_from([INTAKE, SHORT])), "Telehealth", draw(st.sampled_from(["10", "11"])))
        retired = draw(RETIRED)
        if retired is None and offer in live:
            retired = DUPLICATE_ON_IMPORT
        if retired is None:
            live.add(offer)
        instances.append(Instance(UUID(int=50 + number), offer, retired, draw(st.integers(0, 2)), draw(MAPPINGS)))
    status = draw(st.sampled_from(["approved", "pending", "suspended", "rejected", None]))
    return Candidate(replace(PAYER, status_code=status), draw(st.booleans()), instances)


def carried_out(payer: Candidate, steps: list[Step]) -> Candidate:
    """Return the payer after the steps, done one by one in the simplest way."""
    rows = {one.id: one for one in payer.instances}
    for step in steps:
        match step.action:
            case Action.CREATE_INSTANCE:
                assert step.after
                offer = Offer(step.service_id, step.after["location"], step.after["posCode"])
                rows[step.instance_id] = Instance(step.instance_id, offer, None, 0, {})
            case Action.RETIRE_DUPLICATE:
                assert step.merged_into
                lost, kept = rows[step.instance_id], rows[step.merged_into]
                rows[lost.id] = replace(lost, retired_reason="duplicate_merged", references=0)
                rows[kept.id] = replace(kept, retired_reason=None, references=kept.references + lost.references)
            case _:
                assert step.after
                one = rows[step.instance_id]
                mapped = {**one.mappings, step.after["system"]: step.after["externalId"]}
                rows[one.id] = replace(one, mappings=mapped)
    return replace(payer, instances=list(rows.values()))


@given(candidates(), st.sampled_from(Strategy))
def test_a_second_plan_is_empty(payer: Candidate, strategy: Strategy) -> None:
    after = carried_out(payer, planned(payer, strategy))
    assert planned(after, strategy) == []


@given(candidates(), st.sampled_from(Strategy))
def test_no_two_live_instances_and_no_reference_lost(payer: Candidate, strategy: Strategy) -> None:
    after = carried_out(payer, planned(payer, strategy))
    live = Counter(one.offer for one in after.instances if one.is_live)
    assert set(live.values()) <= {1}
    assert sum(one.references for one in after.instances) == sum(one.references for one in payer.instances)


@given(candidates(), st.sampled_from(Strategy))
def test_who_is_meant_has_every_default_with_its_mappings(payer: Candidate, strategy: Strategy) -> None:
    after = carried_out(payer, planned(payer, strategy))
    live = {one.offer: one for one in after.instances if one.is_live}
    for default in DEFAULTS if wanted(payer, strategy) else []:
        assert default.mappings.items() <= live[default.offer].mappings.items()


@given(candidates(), st.sampled_from(Strategy))
def test_readiness_is_foretold(payer: Candidate, strategy: Strategy) -> None:
    steps = planned(payer, strategy)
    assert is_ready(payer.instances, INTAKES, steps) == is_ready(carried_out(payer, steps).instances, INTAKES)
