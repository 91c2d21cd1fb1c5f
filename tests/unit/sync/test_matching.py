"""Whose visit it is: by number, else by address and birth date, else people decide."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.sync.matching import Candidate, Client, Review, match

ANA, BEA = UUID(int=1), UUID(int=2)
BORN, OTHER_DAY = date(1988, 5, 23), date(1971, 2, 3)
ADDRESS = "ana@example.org"


def client(client_id: str | None = "7", emails: set[str] | None = None, births: set[date] | None = None) -> Client:
    return Client(
        client_id,
        frozenset({ADDRESS} if emails is None else emails),
        frozenset({BORN} if births is None else births),
    )


def candidate(
    patient_id: UUID = ANA, client_id: str | None = None, emails: set[str] | None = None, birth: date | None = BORN
) -> Candidate:
    return Candidate(patient_id, client_id, frozenset({ADDRESS} if emails is None else emails), birth)


@pytest.mark.parametrize(
    ("seen", "candidates", "expected"),
    [
        (client(), [candidate()], ANA),
        (client(), [candidate(emails={" Ana@Example.ORG "})], ANA),
        (client(), [candidate(emails={"old@example.org", ADDRESS})], ANA),
        (client(), [candidate(client_id="7", emails={"else@example.org"}, birth=OTHER_DAY)], ANA),
        (client(), [candidate(), candidate(BEA, "7", {"bea@example.org"}, OTHER_DAY)], BEA),
        (client(), [candidate(), candidate(BEA, birth=OTHER_DAY)], ANA),
        (client(client_id=None), [candidate()], ANA),
        (client(emails=set()), [candidate()], None),
        (client(emails={"joana@example.org"}), [candidate()], None),
        (client(), [], None),
        (client(), [candidate(), candidate(BEA)], Review("several_candidates", (ANA, BEA))),
        (client(), [candidate(birth=OTHER_DAY)], Review("birth_date_differs", (ANA,))),
        (client(), [candidate(birth=None)], Review("birth_date_differs", (ANA,))),
        (client(births=set()), [candidate()], Review("birth_date_missing", (ANA,))),
        (client(births={BORN, OTHER_DAY}), [candidate()], Review("birth_date_differs", (ANA,))),
    ],
    ids=[
        "address_and_birth_date",
        "address_in_other_case_with_blanks",
        "alternate_address",
        "number_wins_over_everything",
        "number_of_one_wins_over_the_address_of_another",
        "shared_address_told_apart_by_birth_date",
        "no_number",
        "no_address",
        "address_that_only_contains_it",
        "nobody",
        "twins",
        "other_birth_date",
        "patient_without_birth_date",
        "client_without_birth_date",
        "client_with_two_birth_dates",
    ],
)
def test_match(seen: Client, candidates: list[Candidate], expected: UUID | Review | None) -> None:
    assert match(seen, candidates) == expected


EMAILS = st.frozensets(st.sampled_from(["a@example.org", "b@example.org", "c@example.org"]), max_size=2)
BIRTHS = st.sampled_from([BORN, OTHER_DAY])
CLIENTS = st.builds(Client, st.sampled_from([None, "1", "2"]), EMAILS, st.frozensets(BIRTHS, max_size=2))
CANDIDATES = st.lists(
    st.builds(Candidate, st.integers(1, 9).map(lambda n: UUID(int=n)), st.none(), EMAILS, BIRTHS | st.none()),
    unique_by=lambda each: each.patient_id,
    max_size=5,
)


@given(CLIENTS, CANDIDATES, st.randoms(use_true_random=False))
def test_nobody_is_matched_without_address_and_birth_date_whatever_the_order(
    seen: Client, candidates: list[Candidate], random: st.DataObject
) -> None:
    found = match(seen, candidates)
    random.shuffle(candidates)  # type: ignore[attr-defined]
    assert match(seen, candidates) == found
    if isinstance(found, UUID):
        patient = next(each for each in candidates if each.patient_id == found)
        assert patient.emails & seen.emails
        assert seen.birth_dates == {patient.birth_date}
