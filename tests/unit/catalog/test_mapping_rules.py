"""Where our mappings and an EHR's settings disagree, by tables and by properties."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.catalog.mapping_rules import Mappings, PlaceMapping, ProviderMapping, ServiceMapping, Theirs, compare
from moonlit.ehr.catalog import EhrLocation, EhrPractitioner, EhrService, EhrSettings

INTAKE = ServiceMapping("s-1", UUID(int=1), "Intake", 60, (UUID(int=11), UUID(int=12)), 2)
PROVIDER = ProviderMapping("p-1", UUID(int=2), "l-1")
PLACE = PlaceMapping("l-2", UUID(int=3))
OURS = Mappings([INTAKE], [PROVIDER], [PLACE])
THEIRS = EhrSettings(
    [EhrService("s-1", "Intake", 60)],
    [EhrPractitioner("p-1", "Ines Okafor")],
    [EhrLocation("l-1", "Telehealth"), EhrLocation("l-2", None)],
)


def kinds(ours: Mappings, theirs: EhrSettings) -> list[str]:
    return [found.kind for found in compare(ours, theirs)]


def test_sides_that_agree_find_nothing() -> None:
    assert compare(OURS, THEIRS) == []


@pytest.mark.parametrize(
    ("service", "found"),
    [
        (EhrService("s-1", "  INTAKE ", 60), []),
        (EhrService("s-1", "Intake  Visit", 60), ["name_differs"]),
        (EhrService("s-1", "Intake", 50), ["duration_differs"]),
        (EhrService("s-1", "Visit", 50), ["duration_differs", "name_differs"]),
        (EhrService("s-1", None, None), []),  # What the EHR does not tell differs from nothing.
        (EhrService("s-2", "Intake", 60), ["unknown_in_ehr", "unmapped_in_ehr"]),
    ],
)
def test_a_service_is_held_against_the_one_with_its_id(service: EhrService, found: list[str]) -> None:
    assert kinds(OURS, replace(THEIRS, services=[service])) == found


def test_services_that_the_ehr_cannot_tell_are_not_taken_for_unknown_ones() -> None:
    assert kinds(OURS, replace(THEIRS, services=None)) == []
    assert kinds(OURS, replace(THEIRS, services=[])) == ["unknown_in_ehr"]


def test_a_finding_says_both_sides() -> None:
    (found,) = compare(OURS, replace(THEIRS, services=[EhrService("s-1", "Visit", 60)]))
    assert (found.external_id, found.ours, found.theirs) == ("s-1", INTAKE, Theirs("Visit", 60))
    (found,) = compare(OURS, replace(THEIRS, services=[]))
    assert (found.ours, found.theirs) == (INTAKE, None)
    (found,) = compare(replace(OURS, services=[]), THEIRS)
    assert (found.kind, found.ours, found.theirs) == ("unmapped_in_ehr", None, Theirs("Intake", 60))


def test_two_of_our_services_may_be_one_of_theirs() -> None:
    other = replace(INTAKE, service_id=UUID(int=9), name="Assessment")
    found = compare(replace(OURS, services=[INTAKE, other]), THEIRS)
    assert [(each.kind, each.ours) for each in found] == [("name_differs", other)]


@pytest.mark.parametrize(
    ("practitioners", "found"),
    [
        ([], ["practitioner_unknown"]),
        ([EhrPractitioner("p-2", None)], ["practitioner_unknown"]),
        ([EhrPractitioner("p-1", "Ines Okafor", is_active=False)], ["practitioner_inactive"]),
        ([EhrPractitioner("p-2", None, is_active=False), EhrPractitioner("p-1", None)], []),
    ],
)
def test_a_practitioner_is_looked_for(practitioners: list[EhrPractitioner], found: list[str]) -> None:
    assert kinds(OURS, replace(THEIRS, practitioners=practitioners)) == found


def test_a_place_is_looked_for_wherever_it_is_named() -> None:
    found = compare(OURS, replace(THEIRS, locations=[]))
    assert [(each.kind, each.external_id, each.ours) for each in found] == [
        ("location_unknown", "l-1", PROVIDER),
        ("location_unknown", "l-2", PLACE),
    ]
    assert kinds(replace(OURS, providers=[replace(PROVIDER, location_id=None)], places=[]), THEIRS) == []


ids = st.sampled_from(["a", "b", "c", "d"])
names = st.sampled_from(["Intake", " intake", "Follow-up"])
minutes = st.sampled_from([30, 60])
ours = st.builds(
    Mappings,
    st.lists(st.builds(ServiceMapping, ids, st.uuids(), names, minutes)),
    st.lists(st.builds(ProviderMapping, ids, st.uuids(), st.none() | ids)),
    st.lists(st.builds(PlaceMapping, ids, st.uuids())),
)
theirs = st.builds(
    EhrSettings,
    st.lists(
        st.builds(EhrService, ids, st.none() | names, st.none() | minutes), unique_by=lambda each: each.external_id
    ),
    st.lists(st.builds(EhrPractitioner, ids, st.none(), st.booleans()), unique_by=lambda each: each.external_id),
    st.lists(st.builds(EhrLocation, ids, st.none()), unique_by=lambda each: each.external_id),
)


@given(ours, theirs)
def test_findings_are_complete_and_only_of_what_is_there(ours: Mappings, theirs: EhrSettings) -> None:
    found = compare(ours, theirs)
    services = {service.external_id for service in theirs.services or ()}
    for each in found:
        assert (each.theirs is None) == (each.kind in {"unknown_in_ehr", "practitioner_unknown", "location_unknown"})
        assert (each.ours is None) == (each.kind == "unmapped_in_ehr")
    by_kind = {kind: [each for each in found if each.kind == kind] for kind in {each.kind for each in found}}
    assert len(by_kind.get("unknown_in_ehr", [])) == sum(each.external_id not in services for each in ours.services)
    unmapped = {each.external_id for each in by_kind.get("unmapped_in_ehr", [])}
    assert unmapped == services - {each.external_id for each in ours.services}
    active = {each.external_id for each in theirs.practitioners if each.is_active}
    wrong = len(by_kind.get("practitioner_unknown", [])) + len(by_kind.get("practitioner_inactive", []))
    assert wrong == sum(each.external_id not in active for each in ours.providers)


@given(ours)
def test_an_ehr_that_has_all_that_we_have_mapped_is_agreed_with(ours: Mappings) -> None:
    mirrored = EhrSettings(
        [EhrService(each.external_id, None, None) for each in ours.services],
        [EhrPractitioner(each.external_id, None) for each in ours.providers],
        [
            *(EhrLocation(each.external_id, None) for each in ours.places),
            *(EhrLocation(each.location_id, None) for each in ours.providers if each.location_id),
        ],
    )
    assert compare(ours, mirrored) == []
