"""Who may be booked for whom, by the day."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import pytest

from moonlit.payers.rules import (
    Acceptance,
    Basis,
    Contract,
    Excluded,
    Payer,
    Provider,
    Roster,
    Supervision,
    Via,
    Wish,
    acceptance,
    eligible_providers,
    standings,
)

TODAY = date(2026, 12, 1)
PAYER = Payer(UUID(int=1), "Cedar Health", "private", "approved")
ANN, BEN, CORA = UUID(int=2), UUID(int=3), UUID(int=4)
WISH = Wish("UT", is_intake=False)


def day(offset: int) -> date:
    return TODAY + timedelta(days=offset)


def provider(provider_id: UUID, **changes: object) -> Provider:
    known = Provider(
        id=provider_id,
        name="P",
        person_id=provider_id,
        states=frozenset({"UT"}),
        languages=("en",),
        interpreter_ok=False,
        active=True,
        accepting_new_patients=True,
        max_daily=None,
        modalities=frozenset({"telehealth"}),
        has_mapping=True,
        synced_through=day(90),
    )
    return replace(known, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contracts", "changes", "expected"),
    [
        ([(ANN, 0, None)], {}, (Acceptance.ACCEPTED, None)),
        ([(ANN, -400, 0)], {}, (Acceptance.ACCEPTED, None)),  # Ends today: in force today.
        ([(ANN, -400, -1)], {}, (Acceptance.LEAD, None)),
        ([(ANN, 1, None)], {}, (Acceptance.ACCEPTED_FROM, day(1))),
        ([(ANN, 30, None)], {}, (Acceptance.ACCEPTED_FROM, day(30))),
        ([(ANN, 31, None)], {}, (Acceptance.LEAD, None)),
        ([(ANN, 40, None), (ANN, 20, 25)], {}, (Acceptance.ACCEPTED_FROM, day(20))),
        ([(BEN, -10, None)], {}, (Acceptance.LEAD, None)),  # Ben is inactive.
        ([(BEN, -10, None), (ANN, 5, None)], {}, (Acceptance.ACCEPTED_FROM, day(5))),
        ([], {}, (Acceptance.LEAD, None)),
        ([(ANN, -1, None)], {"status_code": "suspended"}, (Acceptance.LEAD, None)),
        ([(ANN, -1, None)], {"status_code": "rejected"}, (Acceptance.LEAD, None)),
        ([(ANN, -1, None)], {"status_code": None}, (Acceptance.ACCEPTED, None)),
        ([], {"type": "self_pay"}, (Acceptance.ACCEPTED, None)),
        ([], {"type": "self_pay", "status_code": "suspended"}, (Acceptance.LEAD, None)),
    ],
)
def test_acceptance(contracts: list[tuple[UUID, int, int | None]], changes: dict[str, str], expected: object) -> None:
    held = [Contract(who, day(a), None if b is None else day(b)) for who, a, b in contracts]
    assert acceptance(replace(PAYER, **changes), held, [ANN], TODAY) == expected  # type: ignore[arg-type]


def found(
    providers: list[Provider],
    contracts: list[Contract],
    supervision: list[Supervision] | None = None,
    *,
    wish: Wish = WISH,
    payer: Payer = PAYER,
    on: date = TODAY,
    only: tuple[UUID, ...] = (),
) -> tuple[dict[UUID, Basis | None], Counter[Excluded]]:
    roster = Roster(payer, {p.id: p for p in providers}, contracts, supervision or [])
    eligible, excluded = eligible_providers(roster, wish, today=TODAY, first=on, last=on, only=only)
    return {one.provider.id: one.basis_on(on) for one in eligible}, excluded


@pytest.mark.parametrize(
    ("changes", "wish", "reason"),
    [
        ({"active": False}, WISH, Excluded.INACTIVE),
        ({"accepting_new_patients": False}, Wish("UT", is_intake=True), Excluded.NOT_ACCEPTING_NEW_PATIENTS),
        ({"accepting_new_patients": False}, WISH, None),
        ({}, Wish("ID", is_intake=False), Excluded.NOT_LICENSED),
        ({}, Wish("UT", is_intake=False, language="es"), Excluded.LANGUAGE),
        ({}, Wish("UT", is_intake=False, language="en"), None),
        ({"interpreter_ok": True}, Wish("UT", is_intake=False, language="es"), Excluded.LANGUAGE),
        ({}, Wish("UT", is_intake=False, language="es", interpreter=True), Excluded.LANGUAGE),
        ({"interpreter_ok": True}, Wish("UT", is_intake=False, language="es", interpreter=True), None),
        ({}, Wish("UT", is_intake=False, modality="in_person"), Excluded.MODALITY),
        ({}, Wish("UT", is_intake=False, modality="telehealth"), None),
        ({"has_mapping": False}, WISH, Excluded.NO_SERVICE_MAPPING),
        ({"synced_through": None}, WISH, Excluded.NOT_SYNCED),
    ],
)
def test_each_filter_names_whom_it_removed(changes: dict[str, object], wish: Wish, reason: Excluded | None) -> None:
    accepted = Contract(BEN, day(-1), None)  # Keeps the payer accepted whatever becomes of Ann.
    people, excluded = found(
        [
            provider(ANN, **changes),
            provider(
                BEN,
                languages=("en", "es"),
                states=frozenset({"UT", "ID"}),
                modalities=frozenset({"telehealth", "in_person"}),
            ),
        ],
        [Contract(ANN, day(-1), None), accepted],
        wish=wish,
    )
    assert BEN in people
    assert (ANN in people, dict(excluded)) == ((True, {}) if reason is None else (False, {reason: 1}))


def test_it_is_the_visits_date_that_decides_never_todays() -> None:
    contracts = [Contract(ANN, day(10), day(20)), Contract(BEN, day(-5), None)]
    for offset, expected in ((9, False), (10, True), (20, True), (21, False)):
        people, _ = found([provider(ANN), provider(BEN)], contracts, on=day(offset))
        assert (ANN in people) is expected


def test_a_contract_of_ones_own_wins_over_supervision_and_supervision_ends_with_either_part() -> None:
    lent = Supervision(ANN, BEN, co_visit=True, first=day(-5), last=day(5))
    contracts = [Contract(BEN, day(-3), None), Contract(ANN, day(2), None)]
    people = [provider(ANN), provider(BEN)]
    seen = {offset: found(people, contracts, [lent], on=day(offset))[0].get(ANN) for offset in (-4, -3, 1, 2)}
    assert seen[-4] is None
    assert seen[-3] == seen[1] == Basis(Via.SUPERVISION, day(-3), day(5), BEN, co_visit=True)
    assert seen[2] == Basis(Via.CONTRACT, day(2), None)


def test_an_inactive_attending_lends_nothing_and_the_lighter_supervision_comes_first() -> None:
    contracts = [Contract(BEN, day(-3), None), Contract(CORA, day(-3), None)]
    lent = [
        Supervision(ANN, BEN, co_visit=True, first=day(-5), last=None),
        Supervision(ANN, CORA, co_visit=False, first=day(-5), last=None),
    ]
    people, _ = found([provider(ANN), provider(BEN), provider(CORA)], contracts, lent)
    assert (basis := people[ANN]) is not None
    assert basis.attending_id == CORA
    people, excluded = found([provider(ANN), provider(BEN), provider(CORA, active=False)], contracts, lent[1:])
    assert ANN not in people
    assert excluded[Excluded.NO_CONTRACT] == 1


def test_everyone_active_sees_self_payers() -> None:
    people, excluded = found([provider(ANN), provider(BEN, active=False)], [], payer=replace(PAYER, type="self_pay"))
    assert people == {ANN: Basis(Via.SELF_PAY, date.min, None)}
    assert excluded == {Excluded.INACTIVE: 1}


def test_a_payer_that_is_not_accepted_removes_everyone() -> None:
    people, excluded = found([provider(ANN), provider(BEN)], [Contract(ANN, day(40), None)], on=day(41))
    assert (people, excluded) == ({}, {Excluded.PAYER_NOT_ACCEPTED: 2})


CONTRACTS = [Contract(BEN, day(-3), None), Contract(CORA, day(-3), None)]


def lent_by(attending: UUID, *, co_visit: bool, first: int = -5, last: int | None = None) -> Supervision:
    return Supervision(ANN, attending, co_visit, day(first), None if last is None else day(last))


@pytest.mark.parametrize(
    ("changes", "wish", "reason"),
    [
        ({"states": frozenset({"ID"})}, WISH, Excluded.NOT_LICENSED),
        ({"states": frozenset({"ID"})}, Wish(None, is_intake=False), None),
        ({"modalities": frozenset()}, Wish("UT", is_intake=False, modality="telehealth"), Excluded.MODALITY),
        ({"modalities": frozenset()}, WISH, None),
        ({"synced_through": None}, WISH, Excluded.NOT_SYNCED),
        ({"accepting_new_patients": False}, Wish("UT", is_intake=True), None),
        ({"has_mapping": False}, WISH, None),
        ({"languages": ()}, Wish("UT", is_intake=False, language="en"), None),
    ],
)
def test_an_attending_must_meet_what_their_presence_needs_and_nothing_when_they_only_sign(
    changes: dict[str, object], wish: Wish, reason: Excluded | None
) -> None:
    people = [provider(ANN), provider(BEN, **changes)]
    joined, excluded = found(people, CONTRACTS, [lent_by(BEN, co_visit=True)], wish=wish)
    assert (ANN in joined) is (reason is None)
    assert reason is None or excluded[reason] >= 1
    signed, _ = found(people, CONTRACTS, [lent_by(BEN, co_visit=False)], wish=wish)
    assert signed[ANN] == Basis(Via.SUPERVISION, day(-3), None, BEN, co_visit=False)


def test_an_attending_who_cannot_come_leaves_the_visit_to_one_who_can() -> None:
    people = [provider(ANN), provider(BEN, states=frozenset()), provider(CORA)]
    both = [lent_by(BEN, co_visit=True), lent_by(CORA, co_visit=True)]
    joined, excluded = found(people, CONTRACTS, both)
    assert (basis := joined[ANN]) is not None
    assert basis.attending_id == CORA
    assert excluded == {Excluded.NOT_LICENSED: 1}  # Ben for himself.


def test_supervision_that_ends_before_the_attendings_contract_begins_is_no_ground() -> None:
    over = lent_by(BEN, co_visit=False, first=-9, last=-4)  # Ben's contract began a day later.
    roster = Roster(PAYER, {ANN: provider(ANN), BEN: provider(BEN)}, CONTRACTS, [over])
    eligible, excluded = eligible_providers(roster, WISH, today=TODAY, first=day(-10), last=day(10))
    assert [one.provider.id for one in eligible] == [BEN]
    assert excluded == {Excluded.NO_CONTRACT: 1}


def test_nobody_supervises_themselves_under_another_id() -> None:
    people, excluded = found([provider(ANN, person_id=BEN), provider(BEN)], CONTRACTS, [lent_by(BEN, co_visit=False)])
    assert set(people) == {BEN}
    assert excluded == {Excluded.NO_CONTRACT: 1}


def test_two_ids_of_one_person_stand_each_on_their_own_grounds() -> None:
    two = [provider(ANN, person_id=ANN), provider(CORA, person_id=ANN, states=frozenset({"ID"})), provider(BEN)]
    held = [*CONTRACTS, Contract(ANN, day(-1), None)]
    assert set(found(two, held)[0]) == {ANN, BEN}
    assert set(found(two, held, wish=Wish("ID", is_intake=False))[0]) == {CORA}


def test_who_is_not_asked_for_is_neither_offered_nor_counted() -> None:
    people = [provider(ANN), provider(BEN), provider(CORA, active=False)]
    assert found(people, CONTRACTS, only=(BEN,)) == ({BEN: Basis(Via.CONTRACT, day(-3), None)}, {})
    assert found(people, CONTRACTS, only=(CORA,)) == ({}, {Excluded.INACTIVE: 1})
    assert found(people, [], only=(ANN,)) == ({}, {Excluded.PAYER_NOT_ACCEPTED: 1})


def test_everyone_has_a_standing_with_grounds_or_with_a_reason_but_never_both() -> None:
    people = [provider(ANN), provider(BEN), provider(CORA, active=False)]
    roster = Roster(PAYER, {p.id: p for p in people}, CONTRACTS, [lent_by(BEN, co_visit=True, last=2)])
    seen = {
        offset: [(one.reason, [basis.via for basis in one.bases]) for one in standings(
            roster, WISH, today=TODAY, first=day(offset), last=day(offset))]
        for offset in (2, 3)
    }  # fmt: skip
    assert seen[2] == [(None, [Via.SUPERVISION]), (None, [Via.CONTRACT]), (Excluded.INACTIVE, [])]
    assert seen[3] == [(Excluded.NO_CONTRACT, []), (None, [Via.CONTRACT]), (Excluded.INACTIVE, [])]
