"""What a row of the EHR makes of a visit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonlit.sync.apply import claims_of
from moonlit.sync.brakes import brakes
from moonlit.sync.visits import Directory, Held, Outcome, Row, Visit, location_info, outcome, visit

HOUR = 3_600_000
DIRECTORY = Directory(
    providers={"pr1": ("provider-1", "person-1"), "pr2": ("provider-2", "person-2")},
    services={"svc": "service-1"},
    instances={("svc", "payer-1"): "instance-1"},
)


def row(**fields: Any) -> Row:
    base = Row(
        external_id="e1", content_hash="h", patient_id="pat", is_theirs=True, client_id="7",
        practitioner_id="pr1", ehr_service_id="svc", start_ms=HOUR, end_ms=2 * HOUR, status="confirmed", deleted=False, modified_ms=50,
        meeting_url="https://meet.example.org/1", location_name="Telehealth (UT)", place_of_service="10",
    )  # fmt: skip
    return base._replace(**fields)


def held(**fields: Any) -> Held:
    """Return the visit as it stands once `row()` has been applied."""
    base = Held(
        appointment_id="a1", patient_id="pat", provider_id="provider-1", rendering_provider_id=None,
        service_id="service-1", service_instance_id=None, payer_id=None, modality="telehealth", start_ms=HOUR,
        end_ms=2 * HOUR, status="confirmed", deleted_in_ehr=False, modified_ms=50,
        meeting_url="https://meet.example.org/1",
        location_info={"name": "Telehealth (UT)", "place_of_service": "10", "kind": "telehealth"}, in_flight=False,
        booked_here=False,
    )  # fmt: skip
    return base._replace(**fields)


def applied(incoming: Row, existing: Held | None) -> tuple[Outcome, Visit]:
    wanted = visit(incoming, existing, DIRECTORY)
    return outcome(incoming, existing, wanted), wanted


@pytest.mark.parametrize(
    ("incoming", "existing", "expected"),
    [
        (row(), None, Outcome.NEW),
        (row(status="cancelled"), None, Outcome.NEW),
        (row(deleted=True), None, Outcome.UNCHANGED),
        (row(), held(), Outcome.UNCHANGED),
        (row(modified_ms=99), held(), Outcome.UNCHANGED),
        (row(), held(meeting_url=None), Outcome.UPDATED),
        (row(), held(location_info=None), Outcome.UPDATED),
        (row(), held(service_id=None), Outcome.UPDATED),
        (row(), held(payer_id="payer-1"), Outcome.UPDATED),
        (row(start_ms=2 * HOUR, end_ms=3 * HOUR), held(), Outcome.UPDATED),
        (row(status="cancelled"), held(), Outcome.UPDATED),
        (row(), held(status="failed"), Outcome.UPDATED),
        (row(deleted=True), held(), Outcome.UPDATED),
        (row(deleted=True), held(status="cancelled", deleted_in_ehr=True), Outcome.UNCHANGED),
        (row(status="cancelled", modified_ms=10), held(modified_ms=50), Outcome.UNCHANGED),
        (row(deleted=True, modified_ms=10), held(modified_ms=50), Outcome.UPDATED),
        (row(is_theirs=False, status="cancelled"), held(), Outcome.UPDATED),
        (row(status="cancelled"), held(in_flight=True), Outcome.WAITS),
        (row(awaited=True), None, Outcome.WAITS),
        (row(status="cancelled"), held(moves_on=True), Outcome.WAITS),
        (row(status="cancelled"), held(is_current=False), Outcome.UNCHANGED),
        (row(deleted=True), held(is_current=False), Outcome.UNCHANGED),
    ],
    ids=[
        "unknown", "cancelled_before_we_knew", "deleted_before_we_knew", "same", "only_touched", "learns_link",
        "learns_place", "learns_service", "learns_instance", "moved", "cancelled", "alive_after_all", "deleted",
        "deleted_and_known", "older_version", "older_version_but_deleted", "of_another_client", "our_write_under_way",
        "where_our_move_goes", "half_of_a_move", "of_an_old_id", "of_an_old_id_and_deleted",
    ],
)  # fmt: skip
def test_outcome(incoming: Row, existing: Held | None, expected: Outcome) -> None:
    assert applied(incoming, existing)[0] is expected


def test_deletion_cancels_the_visit_whatever_its_status_says() -> None:
    _, wanted = applied(row(deleted=True), held())
    assert (wanted.status, wanted.deleted_in_ehr) == ("cancelled", True)


def test_unknown_practitioner_gives_no_provider_and_takes_the_attending_away() -> None:
    _, wanted = applied(row(practitioner_id="nobody"), held(rendering_provider_id="attending"))
    assert (wanted.provider_id, wanted.rendering_provider_id) == (None, None)
    _, kept = applied(row(), held(rendering_provider_id="attending"))
    assert kept.rendering_provider_id == "attending"


SEATS = Directory(
    providers={"pr1": (None, "person-1"), "pr2": (None, None), "pr3": ("provider-3", "person-3")},
    services={},
    instances={},
    seats={("pr1", "east"): ("provider-1e", "person-1"), ("pr1", "west"): ("provider-1w", "person-1")},
)


@pytest.mark.parametrize(
    ("practitioner_id", "location_id", "giver"),
    [
        ("pr1", "east", ("provider-1e", "person-1")),
        ("pr1", "north", (None, "person-1")),
        ("pr1", None, (None, "person-1")),
        ("pr2", "east", (None, None)),
        ("pr3", "north", ("provider-3", "person-3")),
        ("nobody", "east", (None, None)),
        (None, "east", (None, None)),
    ],
)
def test_seat_tells_who_gives_a_visit(
    practitioner_id: str | None, location_id: str | None, giver: tuple[str | None, str | None]
) -> None:
    incoming = row(practitioner_id=practitioner_id, location_id=location_id)
    assert SEATS.giver(incoming) == giver
    assert visit(incoming, None, SEATS).provider_id == giver[0]


def test_persons_behind_providers_come_from_every_seat() -> None:
    assert SEATS.persons() == {"provider-1e": "person-1", "provider-1w": "person-1", "provider-3": "person-3"}


def test_service_and_instance_that_we_know_are_never_lost_or_replaced() -> None:
    _, wanted = applied(row(ehr_service_id="unmapped"), held(service_id="ours", service_instance_id="ours"))
    assert (wanted.service_id, wanted.service_instance_id) == ("ours", "ours")
    _, mapped = applied(row(), held(service_instance_id="ours", payer_id="payer-1"))
    assert mapped.service_instance_id == "ours"


def test_instance_is_set_only_for_a_known_payer() -> None:
    assert applied(row(), held())[1].service_instance_id is None
    assert applied(row(), held(payer_id="payer-1"))[1].service_instance_id == "instance-1"


@pytest.mark.parametrize(
    ("code", "kind"), [("02", "telehealth"), ("10", "telehealth"), ("11", "office"), ("12", "home"), ("99", None)]
)
def test_kind_of_place_comes_from_the_place_of_service(code: str, kind: str | None) -> None:
    assert location_info("Main Street", code) == {"name": "Main Street", "place_of_service": code, "kind": kind}


def test_a_name_alone_tells_no_kind_and_nothing_at_all_is_nothing() -> None:
    assert location_info("Telehealth (UT)", None) == {
        "name": "Telehealth (UT)", "place_of_service": None, "kind": None,
    }  # fmt: skip
    assert location_info(None, None) is None


@dataclass(frozen=True)
class ClaimCase:
    before: Held | None
    after: Row
    claims: str


@pytest.mark.parametrize(
    "case",
    [
        ClaimCase(None, row(), "take"),
        ClaimCase(None, row(status="cancelled"), "keep"),
        ClaimCase(held(), row(), "keep"),
        ClaimCase(held(), row(end_ms=3 * HOUR), "move"),
        ClaimCase(held(), row(practitioner_id="pr2"), "renew"),
        ClaimCase(held(), row(status="no_show"), "release"),
        ClaimCase(held(), row(deleted=True), "release"),
        ClaimCase(held(status="cancelled"), row(), "take"),
        ClaimCase(held(booked_here=True), row(meeting_url=None), "keep"),
        ClaimCase(held(booked_here=True), row(end_ms=3 * HOUR), "protect"),
        ClaimCase(held(booked_here=True), row(practitioner_id="pr2"), "protect"),
        ClaimCase(held(booked_here=True, status="cancelled"), row(), "protect"),
        ClaimCase(held(booked_here=True), row(deleted=True), "release"),
        ClaimCase(held(status="cancelled"), row(status="declined"), "keep"),
    ],
)
def test_claims_follow_the_visit(case: ClaimCase) -> None:
    assert claims_of(case.before, visit(case.after, case.before, DIRECTORY)) == case.claims


@pytest.mark.parametrize(
    ("cancelled", "held_visits", "stops"), [(19, 20, False), (20, 100, False), (21, 100, True), (20, 99, True)]
)
def test_brake_needs_many_visits_and_a_large_share(cancelled: int, held_visits: int, stops: bool) -> None:  # noqa: FBT001
    assert brakes(cancelled, held_visits) is stops


ROWS = st.builds(
    row,
    practitioner_id=st.sampled_from(["pr1", "pr2", "nobody", None]),
    ehr_service_id=st.sampled_from(["svc", "unmapped", None]),
    start_ms=st.integers(0, 9).map(lambda hour: hour * HOUR),
    end_ms=st.integers(10, 12).map(lambda hour: hour * HOUR),
    status=st.sampled_from(["scheduled", "confirmed", "cancelled", "declined", "no_show"]),
    deleted=st.booleans(),
    meeting_url=st.sampled_from([None, "https://meet.example.org/2"]),
    location_name=st.sampled_from([None, "Main Street"]),
    place_of_service=st.sampled_from([None, "11", "10"]),
)


@given(ROWS)
def test_applying_a_row_twice_changes_nothing_the_second_time(incoming: Row) -> None:
    result, wanted = applied(incoming, held())
    after = held(**wanted._asdict(), modified_ms=incoming.modified_ms) if result is Outcome.UPDATED else held()
    assert applied(incoming, after)[0] is Outcome.UNCHANGED
