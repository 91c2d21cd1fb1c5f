"""What may stand in a payer's rows and whom a change strands, against answers that are found day by day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise, permutations
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from moonlit.contracting.checks import faults_of_ids, faults_together
from moonlit.contracting.rules import (
    ContractTerms,
    PayerTerms,
    SupervisionTerms,
    Terms,
    Tie,
    circles,
    differences,
    lifts_a_bar,
    overlapping,
    roster_after,
)
from moonlit.payers.booked import has_ground
from moonlit.payers.rules import Payer, Provider, Roster

START = date(2027, 1, 1)
DAYS = [START + timedelta(days=n) for n in range(6)]
PEOPLE = [UUID(int=n) for n in range(1, 5)]
PAYER_ID = UUID(int=99)

people, days = st.sampled_from(PEOPLE), st.sampled_from(DAYS)
ends = st.none() | days


def has(first: date | None, last: date | None, day: date) -> bool:
    return first is not None and first <= day and (last is None or day <= last)


contracts = st.lists(
    st.builds(
        ContractTerms,
        id=st.uuids(),
        provider_id=people,
        effective_date=st.none() | days,
        end_date=ends,
        status=st.sampled_from(["active", "inactive", "credentialing_in_progress"]),
    ),
    max_size=5,
    unique_by=lambda row: row.id,
)
supervisions = st.lists(
    st.builds(
        SupervisionTerms,
        id=st.uuids(),
        resident_id=people,
        attending_id=people,
        level=st.sampled_from(["sign_off_only", "co_visit_required"]),
        effective_date=days,
        end_date=ends,
    ),
    max_size=6,
    unique_by=lambda row: row.id,
)
ties = supervisions.map(
    lambda rows: [Tie(row.id, row.resident_id, row.attending_id, row.effective_date, row.end_date) for row in rows]
)


@given(contracts)
def test_two_contracts_overlap_when_some_day_is_in_both(rows: list[ContractTerms]) -> None:
    def claims(row: ContractTerms) -> set[object]:
        held = {day for day in DAYS if has(row.effective_date, row.end_date, day)}
        return set() if row.status == "inactive" else {"undated"} if row.effective_date is None else set(held)

    expected = {
        (one.id, other.id)
        for n, one in enumerate(rows)
        for other in rows[n + 1 :]
        if one.provider_id == other.provider_id and claims(one) & claims(other)
    }
    assert set(overlapping(rows)) == expected


def circling(found: Sequence[Tie]) -> set[UUID]:
    """Try every order of people as a circle, and every day."""
    hit: set[UUID] = set()
    for day in DAYS:
        alive = [tie for tie in found if has(tie.first, tie.last, day)]
        edges = {(tie.resident, tie.attending) for tie in alive}
        for size in range(1, len(PEOPLE) + 1):
            for ring in permutations(PEOPLE, size):
                steps = set(zip(ring, (*ring[1:], ring[0]), strict=True))
                if steps <= edges:
                    hit |= {tie.id for tie in alive if (tie.resident, tie.attending) in steps}
    return hit


@settings(max_examples=60)
@given(ties, st.data())
def test_a_tie_is_on_a_circle_when_its_people_supervise_each_other_on_some_day(
    found: list[Tie], data: st.DataObject
) -> None:
    touched = set(data.draw(st.lists(st.sampled_from([tie.id for tie in found])))) if found else set()
    assert set(circles(found, touched)) == circling(found) & touched


def test_a_long_chain_is_no_circle_and_is_quickly_seen() -> None:
    crowd = [UUID(int=n) for n in range(1000)]
    chain = [Tie(uuid4(), one, other, START, None) for one, other in pairwise(crowd)]
    assert circles(chain, {tie.id for tie in chain}) == []
    closing = Tie(uuid4(), crowd[-1], crowd[0], START + timedelta(days=1), None)
    assert circles([*chain, closing], {closing.id}) == [closing.id]


def provider(provider_id: UUID, *, active: bool = True, person: UUID | None = None) -> Provider:
    return Provider(
        id=provider_id,
        name="P",
        person_id=person or provider_id,
        states=frozenset(),
        languages=(),
        interpreter_ok=False,
        active=active,
        accepting_new_patients=True,
        max_daily=None,
        modalities=frozenset(),
        has_mapping=False,
        synced_through=None,
    )


def payer(
    rows: Iterable[ContractTerms] = (),
    lent: Iterable[SupervisionTerms] = (),
    kind: str = "private",
    status: str | None = "approved",
) -> PayerTerms:
    return PayerTerms(PAYER_ID, "Cedar", kind, status, None, (), tuple(rows), tuple(lent))


def roster(terms: PayerTerms, providers: Iterable[Provider], for_any: Iterable[SupervisionTerms] = ()) -> Roster:
    nothing = Roster(Payer(PAYER_ID, "", "private", None), {one.id: one for one in providers}, [], [])
    return roster_after(nothing, terms, for_any)


@given(
    rows=contracts,
    lent=supervisions,
    for_any=supervisions,
    inactive=st.sets(people),
    who=people,
    rendering=st.none() | people,
    day=days,
    kind=st.sampled_from(["private", "self_pay"]),
)
def test_a_visit_has_ground_by_a_contract_of_ones_own_or_of_the_attending_who_renders_it(
    *,
    rows: list[ContractTerms],
    lent: list[SupervisionTerms],
    for_any: list[SupervisionTerms],
    inactive: set[UUID],
    who: UUID,
    rendering: UUID | None,
    day: date,
    kind: str,
) -> None:
    def contracted(one: UUID) -> bool:
        return any(
            row.provider_id == one and row.status == "active" and has(row.effective_date, row.end_date, day)
            for row in rows
        )

    lends = any(
        row.resident_id == who
        and has(row.effective_date, row.end_date, day)
        and row.attending_id != who
        and row.attending_id not in inactive
        and rendering in (None, row.attending_id)
        and contracted(row.attending_id)
        for row in [*lent, *for_any]
    )
    crowd = [provider(one, active=one not in inactive) for one in PEOPLE]
    found = has_ground(roster(payer(rows, lent, kind), crowd, for_any), who, rendering, day)
    assert found == (who not in inactive and (kind == "self_pay" or contracted(who) or lends))


def test_the_same_person_under_another_id_lends_nothing_and_no_status_takes_a_ground_away() -> None:
    ann, twin, ben = PEOPLE[:3]
    rows = [ContractTerms(uuid4(), ann, START, None, "active")]
    lent = [SupervisionTerms(uuid4(), one, ann, "sign_off_only", START, None) for one in (twin, ben)]
    crowd = [provider(ann), provider(twin, person=ann), provider(ben)]
    held = roster(payer(rows, lent, status="suspended"), crowd)
    assert [has_ground(held, one, None, START) for one in (ann, twin, ben, UUID(int=7))] == [True, False, True, False]


def by_id(terms: PayerTerms) -> dict[UUID, Terms]:
    rows: list[ContractTerms | SupervisionTerms] = [*terms.contracts, *terms.supervision]
    return {row.id: row for row in rows}


@given(old=contracts, new=contracts, lent=supervisions, lent_later=supervisions, renamed=st.booleans())
def test_what_is_different_makes_the_one_of_the_other(
    *,
    old: list[ContractTerms],
    new: list[ContractTerms],
    lent: list[SupervisionTerms],
    lent_later: list[SupervisionTerms],
    renamed: bool,
) -> None:
    before, after = payer([*old, *new[:2]], lent), payer(new, lent_later, status="pending" if renamed else "approved")
    found = differences(before, after)
    assert ("payer" in {each.entity for each in found}) == renamed
    assert all(each.before != each.after for each in found)
    rows = by_id(before)
    for each in found:
        if each.entity != "payer":
            assert rows.pop(each.id, None) == each.before
            rows |= {each.id: each.after} if each.after else {}
    assert rows == by_id(after)
    assert differences(after, after) == []


def test_only_what_was_changed_is_at_fault() -> None:
    ann, ben = PEOPLE[:2]
    persons = {one: one for one in PEOPLE}
    one, other = (ContractTerms(uuid4(), ann, START, None, "active") for _ in range(2))
    up, down = (SupervisionTerms(uuid4(), *pair, "sign_off_only", START, None) for pair in ((ann, ben), (ben, ann)))
    stands = payer([one, other], [up, down])
    assert faults_together(stands, payer([one, other], [up, down], status="pending"), persons, ()) == []
    fresh = faults_together(payer([other], [down]), stands, persons, ())
    assert [(each.list, each.position, each.code) for each in fresh] == [
        ("contracts", 0, "contract_overlap"),
        ("supervision", 0, "supervision_circle"),
    ]
    elsewhere = faults_together(payer(), payer([], [up]), persons, [down])
    assert [(each.list, each.position) for each in elsewhere] == [("supervision", 0)]


def test_an_id_is_known_and_named_once() -> None:
    known, strange = uuid4(), uuid4()
    found = faults_of_ids("contracts", [None, known, strange, known, None], {known})
    assert [(each.position, each.code) for each in found] == [(2, "unknown_id"), (3, "duplicate_id")]


def test_a_bar_is_lifted_by_another_status_alone() -> None:
    def lifted(old: str | None, new: str | None) -> bool:
        return lifts_a_bar(payer(status=old), payer(status=new))

    assert lifted("suspended", "approved")
    assert lifted("rejected", None)
    assert not lifted("suspended", "rejected")
    assert not lifted("pending", "approved")
