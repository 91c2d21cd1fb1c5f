"""Who may be booked, and how many each filter removed: the same for eligibility, for slots and for staff."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest

from moonlit.availability.store import Availability
from moonlit.availability.use_cases import why_not
from moonlit.db import tables as t
from moonlit.errors import NotFound
from moonlit.payers.rules import Excluded
from tests.fixtures_booking import NEW_PAYER
from tests.integration.availability.practice import ASTRID, EMIL, INES, Practice

# What is changed about Ines, what is asked besides, and why she is left out then.
REMOVED: list[tuple[str, dict[str, Any], str]] = [
    ("update providers set active = false where id = :ines", {}, "inactive"),
    ("update providers set accepting_new_patients = false where id = :ines", {}, "not_accepting_new_patients"),
    ("update providers set license_states = '{ID}' where id = :ines", {}, "not_licensed_in_state"),
    ("update providers set native_langs = '{es}' where id = :ines", {"language": "en"}, "language"),
    (
        "update providers set native_langs = '{es}', interpreter_ok = false where id = :ines",
        {"language": "en", "interpreter": True},
        "language",
    ),
    ("delete from provider_hours where provider_id = :ines", {"modality": "telehealth"}, "modality"),
    ("delete from provider_payer_networks where provider_id = :ines", {}, "no_contract"),
    ("update provider_payer_networks set end_date = '2027-03-10' where provider_id = :ines", {}, "no_contract"),
    ("update provider_payer_networks set effective_date = '2027-03-12' where provider_id = :ines", {}, "no_contract"),
    ("update provider_payer_networks set status = 'inactive' where provider_id = :ines", {}, "no_contract"),
    (
        "update provider_payer_networks set status = 'credentialing_in_progress' where provider_id = :ines",
        {},
        "no_contract",
    ),
]


@pytest.mark.parametrize(("change", "asked", "reason"), REMOVED)
def test_each_filter_says_whom_it_removed_wherever_it_is_asked(
    practice: Practice, change: str, asked: dict[str, Any], reason: str
) -> None:
    practice.execute("update providers set native_langs = '{en,es}'")
    assert str(INES) in {provider["id"] for provider in practice.eligibility(**asked)["providers"]}
    practice.execute(change, ines=INES)

    eligibility = practice.eligibility(**asked)
    assert {provider["id"] for provider in eligibility["providers"]} == {str(EMIL), str(ASTRID)}
    assert eligibility["excluded"] == [{"reason": reason, "providers": 1}]
    assert INES not in set().union(*practice.free(**asked).values())
    with practice.begin() as connection:
        standings = why_not(Availability(connection), practice.request(**asked), practice.now)
    assert {one.provider.id: one.reason for one in standings} == {INES: Excluded(reason), EMIL: None, ASTRID: None}
    assert practice.answer(**asked)["excluded"] == eligibility["excluded"]


def test_each_ehr_needs_its_own_mapping_of_a_live_instance_and_a_calendar_that_was_read(practice: Practice) -> None:
    practice.execute("update ehr_accounts set window_last = null where system = 'athena'")
    assert practice.eligibility()["excluded"] == [{"reason": "calendar_not_synced", "providers": 1}]
    practice.execute("delete from service_instance_integrations where system = 'intakeq'")
    assert practice.eligibility()["excluded"] == [
        {"reason": "no_service_mapping", "providers": 2},
        {"reason": "calendar_not_synced", "providers": 1},
    ]
    practice.execute("update service_instances set retired_at = now(), retired_reason = 'duplicate_merged'")
    assert practice.answer()["excluded"] == [{"reason": "no_service_mapping", "providers": 3}]


def test_a_payer_that_is_not_accepted_removes_everyone(practice: Practice) -> None:
    found = practice.eligibility(payerId=NEW_PAYER)
    assert (found["acceptance"]["status"], found["providers"]) == ("lead", [])
    assert found["excluded"] == [{"reason": "payer_not_accepted", "providers": 3}]


def test_whom_nobody_asked_for_is_neither_offered_nor_counted(practice: Practice) -> None:
    practice.execute("update providers set active = false where id in (:ines, :emil)", ines=INES, emil=EMIL)
    answer = practice.answer(provider_ids=(INES, ASTRID))
    assert [provider["id"] for provider in answer["providers"]] == [str(ASTRID)]
    assert answer["excluded"] == [{"reason": "inactive", "providers": 1}]


def test_a_modality_that_nobody_has_hours_of_leaves_those_of_whom_the_ehr_decides(practice: Practice) -> None:
    found = practice.eligibility(modality="in_person")
    assert [provider["id"] for provider in found["providers"]] == [str(ASTRID)]
    assert found["excluded"] == [{"reason": "modality", "providers": 2}]


@pytest.mark.parametrize(("payer", "level"), [(True, "co_visit_required"), (False, "sign_off_only")])
def test_supervision_names_who_renders_and_may_be_for_one_payer_or_for_all(
    practice: Practice, level: str, *, payer: bool
) -> None:
    practice.execute("delete from provider_payer_networks where provider_id = :ines", ines=INES)
    known = practice.request().payer_id
    lent = {
        "resident_id": INES, "attending_id": EMIL, "level": level, "effective_date": practice.request().first,
        "end_date": practice.request().first,
    }  # fmt: skip
    practice.insert(t.supervision_relationships, id=uuid4(), payer_id=NEW_PAYER, **lent)
    assert practice.eligibility()["excluded"] == [{"reason": "no_contract", "providers": 1}]
    practice.insert(t.supervision_relationships, id=uuid4(), payer_id=known if payer else None, **lent)
    (ines,) = [one for one in practice.eligibility()["providers"] if one["id"] == str(INES)]
    assert (ines["via"], ines["renderingProvider"]["id"]) == ("supervision", str(EMIL))
    assert practice.eligibility(visitDate="2027-03-12")["excluded"] == [{"reason": "no_contract", "providers": 1}]


def test_two_ids_of_a_person_are_listed_each_on_its_own_grounds(practice: Practice) -> None:
    practice.execute("update providers set person_key = 'one' where id <> :astrid", astrid=ASTRID)
    assert Counter(provider["via"] for provider in practice.eligibility()["providers"]) == {"contract": 3}
    practice.execute("delete from provider_payer_networks where provider_id = :ines", ines=INES)
    assert practice.eligibility()["excluded"] == [{"reason": "no_contract", "providers": 1}]


def test_staff_are_told_about_unknown_rows_too(practice: Practice) -> None:
    with practice.begin() as connection:
        store = Availability(connection)
        for change in ({"payer_id": uuid4()}, {"service_id": uuid4()}, {"provider_ids": (UUID(int=1),)}):
            with pytest.raises(NotFound):
                why_not(store, practice.request(**change), practice.now)
