"""What the port promises of every EHR, asked of each adapter before its vendor's simulator."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, date, timedelta

import pytest

from moonlit.ehr.port import TRAITS, EhrRefused, EhrVisit, Lane, OpenSlot
from moonlit.observability import logger
from tests.fixtures_intakeq import NOON
from tests.integration.ehr.sites import DANA, DAY, DETAILS, MARA, READS, TOMORROW, WRITES, Site

PEOPLE = ("whitlock", "dana", "mara", "example.org", "5550142", "1988-05-23", "05/23/1988", "SMP00417722")


def read_everywhere(site: Site, external_id: str, day: date) -> list[EhrVisit]:
    """Return a visit as each read shows it that can."""
    single = site.ehr.visit(external_id, Lane.WEBHOOK)
    lists = [
        site.ehr.window(day, day, 1, Lane.NIGHTLY).visits,
        site.ehr.changed_since(NOON.date() - timedelta(days=60), 1, Lane.NIGHTLY).visits,
        site.ehr.visits_of_practitioner(site.practitioner_id, day, day, Lane.BOOKING),
        site.ehr.visits_of_client(site.client_key, day, day, Lane.ON_DEMAND).visits,
    ]
    found = [visit for visits in lists for visit in visits if visit.external_id == external_id]
    assert single
    assert len(found) == len(lists)
    return [single, *found]


def test_every_read_shows_the_same_visit_with_the_same_hash(site: Site) -> None:
    visits = read_everywhere(site, site.visit_id, DAY)
    assert len({replace(visit, raw={}).__repr__() for visit in visits}) == 1
    [visit, *_] = visits
    assert (visit.client_id, visit.practitioner_id) == (site.client_id, site.practitioner_id)
    assert (visit.starts_at, visit.status) == (NOON, "confirmed")
    assert (visit.client_email, visit.client_birth_date) == (DANA.email, DANA.birth_date)


def test_ids_are_text_and_instants_are_in_utc(site: Site) -> None:
    booked = site.ehr.book(site.free, Lane.BOOKING)
    for visit in [booked, *read_everywhere(site, booked.external_id, TOMORROW.date())]:
        assert all(isinstance(each, str) for each in (visit.external_id, visit.client_id, visit.practitioner_id))
        instants = [visit.starts_at, visit.ends_at, visit.modified_at, visit.created_at]
        assert all(instant and instant.tzinfo is UTC for instant in instants)


def test_a_booked_visit_is_confirmed_and_read_by_id_by_day_and_by_practitioner(site: Site) -> None:
    booked = site.ehr.book(site.free, Lane.BOOKING)
    visits = read_everywhere(site, booked.external_id, TOMORROW.date())
    assert {(visit.external_id, visit.starts_at, visit.status, visit.client_id) for visit in [booked, *visits]} == {
        (booked.external_id, TOMORROW, "confirmed", site.client_id)
    }
    assert len({visit.content_hash for visit in visits}) == 1
    [read, *_] = visits
    assert read.created_at
    assert abs(read.created_at - site.clock.now()) < timedelta(seconds=2)


def test_a_day_is_the_practices_own(site: Site) -> None:
    assert [visit.external_id for visit in site.ehr.window(DAY, DAY, 1, Lane.NIGHTLY).visits] == [site.visit_id]
    for day in (DAY - timedelta(days=1), DAY + timedelta(days=1)):
        assert list(site.ehr.window(day, day, 1, Lane.NIGHTLY).visits) == []
        assert list(site.ehr.visits_of_practitioner(site.practitioner_id, day, day, Lane.BOOKING)) == []


def test_what_the_ehr_does_not_know_is_none(site: Site) -> None:
    assert site.ehr.visit(site.gone_id(), Lane.WEBHOOK) is None
    assert site.ehr.visit("no such?visit#", Lane.WEBHOOK) is None


def test_time_that_is_taken_is_refused_and_nothing_changes(site: Site) -> None:
    site.refuse_taken()
    before = site.content()
    with pytest.raises(EhrRefused) as refused:
        site.ehr.book(site.taken, Lane.BOOKING)
    assert refused.value.code == "409"
    assert site.content() == before


def test_a_moved_visit_has_its_new_time_and_is_there_once(site: Site) -> None:
    moved = site.ehr.reschedule(site.move(), Lane.BOOKING)
    visits = read_everywhere(site, moved.external_id, TOMORROW.date())
    assert {(visit.starts_at, visit.status) for visit in [moved, *visits]} == {(TOMORROW, "confirmed")}
    old = site.ehr.window(DAY, DAY, 1, Lane.NIGHTLY).visits
    if moved.external_id == site.visit_id:
        assert list(old) == []
    else:  # It has another id now, and the old one says which.
        assert [(visit.status, visit.moved_to) for visit in old] == [("cancelled", moved.external_id)]


def test_a_visit_that_cannot_be_moved_stands_where_it_was(site: Site) -> None:
    other = site.ehr.book(site.free, Lane.BOOKING)
    before = site.content()
    site.refuse_taken()
    with pytest.raises(EhrRefused) as refused:
        site.ehr.reschedule(site.move(), Lane.BOOKING)
    assert refused.value.code == "409"
    assert site.content() == before
    assert other.external_id in before


def test_cancelling_twice_is_the_same_as_once(site: Site) -> None:
    for _ in range(2):
        site.ehr.cancel(site.visit_id, site.client_id, "patient asked", Lane.BOOKING)
    assert {visit.status for visit in read_everywhere(site, site.visit_id, DAY)} == {"cancelled"}


def test_a_visit_is_cancelled_though_its_client_is_not_told(site: Site) -> None:
    site.ehr.cancel(site.visit_id, None, "patient asked", Lane.BOOKING)
    visit = site.ehr.visit(site.visit_id, Lane.WEBHOOK)
    assert visit
    assert visit.status == "cancelled"


@pytest.mark.parametrize("knows_client", [True, False])
def test_cancelling_what_is_gone_leaves_it_so(site: Site, *, knows_client: bool) -> None:
    gone = site.gone_id()
    before = site.content()
    for external_id in (gone, "404404404"):
        site.ehr.cancel(external_id, site.client_id if knows_client else None, "patient asked", Lane.BOOKING)
    assert site.content() == before


def test_a_person_is_found_or_created_once(site: Site) -> None:
    assert site.ehr.client_for(DANA, Lane.BOOKING) == site.client_id
    mara = site.ehr.client_for(MARA, Lane.BOOKING)
    assert mara != site.client_id
    before = site.content()
    assert site.ehr.client_for(MARA, Lane.BOOKING) == mara
    assert site.content() == before


def test_nobody_is_taken_for_somebody_who_shares_their_contacts(site: Site) -> None:
    twin = replace(DANA, birth_date=date(2015, 5, 23))
    before = site.content()
    try:
        assert site.ehr.client_for(twin, Lane.BOOKING) != site.client_id
    except EhrRefused as refused:
        assert refused.code == "client_merged"  # noqa: PT017
        assert site.content() == before


def test_details_may_be_set_again(site: Site) -> None:
    before = site.details()
    site.ehr.add_details(site.visit_id, site.client_id, DETAILS, Lane.BOOKING)
    once = site.details()
    site.ehr.add_details(site.visit_id, site.client_id, DETAILS, Lane.BOOKING)
    assert site.details() == once
    assert (once != before) is TRAITS[site.name].has_details


def test_open_slots_are_offered_where_visits_take_slots(site: Site) -> None:
    slots = site.ehr.open_slots(
        [(site.practitioner_id, str(site.free.location_id))],
        [site.free.ehr_service_id],
        DAY,
        TOMORROW.date(),
        Lane.NIGHTLY,
    )
    if not TRAITS[site.name].has_open_slots:
        assert list(slots) == []
        return
    [offered, _] = slots
    assert isinstance(offered, OpenSlot)
    assert (offered.slot_id, offered.starts_at) == (site.free.slot_id, TOMORROW)
    assert site.ehr.book(replace(site.free, slot_id=offered.slot_id), Lane.BOOKING).external_id == offered.slot_id


def test_a_frozen_slot_is_kept_from_everybody(site: Site) -> None:
    if not TRAITS[site.name].has_open_slots:
        with pytest.raises(EhrRefused) as refused:
            site.ehr.freeze("1", Lane.BOOKING)
        assert refused.value.code == "not_granted"
        site.ehr.thaw("1", Lane.BOOKING)
        return
    slot_id = str(site.free.slot_id)
    for _ in range(2):
        site.ehr.freeze(slot_id, Lane.BOOKING)
    with pytest.raises(EhrRefused) as refused:
        site.ehr.book(site.free, Lane.BOOKING)
    assert refused.value.code == "409"
    for _ in range(2):
        site.ehr.thaw(slot_id, Lane.BOOKING)
    assert site.ehr.book(site.free, Lane.BOOKING).external_id == slot_id


def test_requests_are_taken_from_the_lane_that_asked(site: Site) -> None:
    site.ehr.window(DAY, DAY, 1, Lane.NIGHTLY)
    site.ehr.visit(site.visit_id, Lane.WEBHOOK)
    site.ehr.book(site.free, Lane.BOOKING)
    assert site.budget.taken == [Lane.NIGHTLY, Lane.WEBHOOK, Lane.BOOKING]
    assert len(site.server.requests()) == len(site.budget.taken)


@pytest.mark.parametrize("kind", ["error_before", "drop_after", "html_after"])
def test_neither_logs_nor_errors_speak_of_people(
    site: Site, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    for level in ("info", "warning", "error"):
        monkeypatch.setattr(logger, level, lambda *message, **fields: said.append((message, fields)))
    calls = {**WRITES[site.name], **READS[site.name]}
    with caplog.at_level(logging.DEBUG):
        for call in calls.values():
            site.server.fail({"kind": kind, "times": None})
            with pytest.raises(Exception) as raised:  # noqa: PT011
                call(site, site.ehr)
            said += [repr(raised.value), repr(raised.value.__cause__)]
            assert raised.value.__context__ is None or raised.value.__suppress_context__
    heard = f"{said}{caplog.text}".lower()
    assert said
    assert not [person for person in PEOPLE if person.lower() in heard]
