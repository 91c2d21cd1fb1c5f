"""Hours and time off as staff keep them, and the visits to come that are left outside of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_booking import EMIL, INES, TEN
from tests.fixtures_functions import sample
from tests.fixtures_intakeq import NOON
from tests.fixtures_people import Staff

HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
THURSDAY = 3  # TEN is one.


def window(weekday: int = THURSDAY, start: str = "09:00", end: str = "17:00", **values: Any) -> dict[str, Any]:
    return {
        "weekday": weekday, "start": start, "end": end, "timezone": "America/Denver", "modality": "telehealth", **values,
    }  # fmt: skip


def put(staff: Staff, *windows: dict[str, Any], dry_run: bool = False, if_match: str = "", who: UUID = INES) -> Any:
    query = {"dryRun": "true"} if dry_run else {}
    return staff.ask("replace_hours", {"items": list(windows)}, query=query, if_match=if_match, providerId=who)


def stored(staff: Staff, provider_id: UUID = INES) -> list[Any]:
    query = 'select weekday, "start", "end" from provider_hours where provider_id = :id order by weekday, "start"'
    return [tuple(row.values()) for row in staff.functions.rows(query, id=provider_id)]


def offered(staff: Staff) -> set[str]:
    """Return who is free on Thursday at ten."""
    slots = json.loads(staff.functions.call("availability", sample("availability/availability"))["body"])["slots"]
    return {who for slot in slots if slot["start"] == "2027-03-11T10:00:00-07:00" for who in slot["providerIds"]}


def test_hours_are_replaced_as_a_whole_from_what_was_read(staff: Staff) -> None:
    read = staff.ask("hours", providerId=INES)
    assert (read.status, read.said["nextCursor"]) == (200, None)
    assert read.said["items"][THURSDAY] == window() | {"locationId": None, "validFrom": None, "validTo": None}
    assert put(staff, *read.said["items"], if_match=read.etag).said["added"] == 0
    assert staff.audited("provider") == []

    place = staff.location()
    new = [
        window(THURSDAY, "13:00", "24:00", validFrom="2027-04-01"),
        window(THURSDAY, "22:00", "02:00", modality="in_person", locationId=str(place), validTo="2027-12-31"),
        window(0),
    ]
    changed = put(staff, *new, if_match=read.etag)
    assert (changed.status, changed.said["added"], changed.said["ended"]) == (200, 2, 4)
    again = staff.ask("hours", providerId=INES)
    assert (again.said["items"], again.etag) == (changed.said["items"], changed.etag)
    assert stored(staff) == [(0, "09:00", "17:00"), (3, "13:00", "24:00"), (3, "22:00", "02:00")]
    assert put(staff, window(), if_match=read.etag).slug == "stale-etag"
    (line,) = staff.audited("provider")
    assert (line["action"], line["actor_id"], line["entity_id"]) == ("replace_hours", staff.id, str(INES))
    assert line["request_id"] == "request-replace_hours"
    assert line["before"]["ended"] == [window(weekday) for weekday in (1, 2, 3, 4)]
    assert line["after"]["added"] == [
        window(THURSDAY, "13:00", "24:00", validFrom="2027-04-01"),
        window(THURSDAY, "22:00", "02:00", modality="in_person", locationId=str(place), validTo="2027-12-31"),
    ]
    assert put(staff).status == 200
    assert stored(staff) == []
    assert len(stored(staff, EMIL)) == 5


WRONG_HOURS: list[tuple[list[Any], tuple[str, str]]] = [
    ([window(7)], ("/items/0/weekday", "less_than_equal")),
    ([window(start="9:00")], ("/items/0/start", "string_pattern_mismatch")),
    ([window(start="24:00")], ("/items/0/start", "string_pattern_mismatch")),
    ([window(end="24:01")], ("/items/0/end", "string_pattern_mismatch")),
    ([window(timezone="Denver")], ("/items/0/timezone", "zone")),
    ([window(modality="phone")], ("/items/0/modality", "literal_error")),
    ([window(locationId=str(uuid4()))], ("/items/0/locationId", "unknown_id")),
    ([window(), window(4, validFrom="2027-04-02", validTo="2027-04-01")], ("/items/1/validTo", "before_from")),
    ([window(), window(4), window(start="16:59", end="18:00")], ("/items/2", "overlaps")),
    ([window(start="22:00", end="02:00"), window(4, "01:00", "03:00")], ("/items/1", "overlaps")),
    ([window(), window()], ("/items/1", "overlaps")),
    ([window(lunch=True)], ("/items/0/lunch", "extra_forbidden")),
    ([window()] * 201, ("/items", "too_long")),
]


def test_hours_that_make_no_sense_are_refused(staff: Staff) -> None:
    for windows, error in WRONG_HOURS:
        for dry_run in (True, False):
            assert put(staff, *windows, dry_run=dry_run).errors == [error]
    assert len(stored(staff)) == 5
    assert put(staff, who=uuid4()).slug == "not-found"
    assert staff.ask("hours", providerId=uuid4()).slug == "not-found"


def test_who_may_be_seen_either_way_or_in_turns_has_a_window_for_each(staff: Staff) -> None:
    windows = [
        window(), window(modality="in_person"), window(modality="in_person", locationId=str(staff.location())),
        window(2, validTo="2027-06-30"), window(2, validFrom="2027-07-01"), window(4, "09:00", "12:00"),
        window(4, "12:00", "17:00"),
    ]  # fmt: skip
    assert put(staff, *windows).said["added"] == 6


def test_ending_hours_tells_first_whom_it_strands(staff: Staff) -> None:
    inside = staff.visit(TEN)
    staff.visit(TEN + 11 * HOUR)  # At nine in the evening: outside before.
    staff.visit(TEN - 7 * A_DAY)
    staff.visit(TEN + HOUR, status="cancelled")
    staff.visit(TEN, modality="in_person")
    unknown = staff.visit(TEN + 2 * HOUR, modality=None)
    joined = staff.visit(TEN + 3 * HOUR, provider_id=EMIL, rendering_provider_id=INES, co_visit=True)
    staff.visit(TEN + 4 * HOUR, provider_id=EMIL, rendering_provider_id=INES)  # Only signed by Ines.
    friday = staff.visit(TEN + A_DAY)
    after_the_clocks_change = staff.visit(TEN + 21 * A_DAY - HOUR)  # April 1st, again at ten.
    asked = put(staff, *(window(weekday) for weekday in (0, 1, 2, 4)), dry_run=True)
    outside = dict.fromkeys([inside, unknown, joined, after_the_clocks_change], "outside_hours")
    assert asked.stranded == outside
    assert len(stored(staff)) == 5
    assert staff.audited("provider") == []
    assert len(staff.shown("provider_hours")) == 4
    assert str(INES) in offered(staff)

    kept = [window(weekday) for weekday in (0, 1, 2, 4)]
    later = put(staff, *kept, window(validFrom="2027-04-01"), dry_run=True)
    assert later.stranded == {one: "outside_hours" for one in outside if one != after_the_clocks_change}
    assert put(staff, *kept, window(start="10:00", end="14:00"), dry_run=True).stranded == {}
    done = put(staff, *kept)
    assert (done.said["dryRun"], done.stranded) == (False, outside)
    assert str(INES) not in offered(staff)
    assert put(staff).stranded == {friday: "outside_hours"}


def test_where_a_visit_takes_place_its_hours_are(staff: Staff) -> None:
    here, there = staff.location(), staff.location()
    at_home, at_work = window(modality="in_person"), window(modality="in_person", locationId=str(here))
    put(staff, at_work, at_home)
    visit = staff.visit(modality="in_person", location_id=here)
    in_a_room = staff.visit(
        TEN, modality="in_person", location_id=there
    )  # Where one was free; Ines never worked there.
    anywhere = staff.visit(TEN, modality="in_person")
    assert put(staff, at_home, dry_run=True).stranded == {visit: "outside_hours"}
    assert put(staff, at_work, dry_run=True).stranded == {}
    assert put(staff, window(), dry_run=True).stranded == dict.fromkeys([visit, in_a_room, anywhere], "outside_hours")


def test_who_is_booked_into_open_slots_of_the_ehr_needs_no_hours(staff: Staff) -> None:
    in_athena = staff.provider(ehr_system="athena")
    put(staff, window(), who=in_athena)
    staff.visit(provider_id=in_athena, system="athena")
    assert put(staff, who=in_athena).stranded == {}
    assert stored(staff, in_athena) == []


def test_what_was_taken_over_twice_is_put_right(staff: Staff) -> None:
    with staff.functions.begin() as connection:
        row = {"provider_id": INES, "weekday": 3, "start": "09:00", "end": "17:00", "timezone": "America/Denver",
               "modality": "telehealth"}  # fmt: skip
        connection.execute(sa.insert(t.provider_hours).values(row))
    visit = staff.visit()
    mended = put(staff, window())
    assert (mended.said["ended"], mended.said["added"], mended.stranded) == (5, 0, {})
    assert mended.etag == staff.ask("hours", providerId=INES).etag
    assert visit
    assert stored(staff) == [(3, "09:00", "17:00")]


# ── Time off ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def add(staff: Staff, start: Any, end: Any, *, dry_run: bool = False, who: UUID = INES) -> Any:
    query = {"dryRun": "true"} if dry_run else {}
    body = {"start": start.isoformat(), "end": end.isoformat()}
    return staff.ask("add_time_off", body, query=query, providerId=who)


def off(staff: Staff) -> list[UUID]:
    return [row["id"] for row in staff.functions.rows('select id from provider_time_off order by "start"')]


def test_time_off_tells_on_which_visits_it_falls_under_all_ids_of_the_person(staff: Staff) -> None:
    twin = staff.provider()
    staff.functions.execute("update providers set person_key = 'ines' where id in (:a, :b)", a=INES, b=twin)
    first, last = staff.visit(TEN), staff.visit(TEN + 2 * HOUR, provider_id=twin)
    before, after = staff.visit(TEN - HOUR), staff.visit(TEN + 3 * HOUR)  # Up to the time off, and from its end on.
    staff.visit(TEN, provider_id=EMIL)
    staff.visit(TEN, provider_id=EMIL, rendering_provider_id=INES)
    joined = staff.visit(TEN, provider_id=EMIL, rendering_provider_id=twin, co_visit=True)
    asked = add(staff, TEN, TEN + 3 * HOUR, dry_run=True)
    assert (asked.status, asked.said["id"], asked.said["start"]) == (200, None, "2027-03-11T10:00:00-07:00")
    assert asked.stranded == dict.fromkeys([first, last, joined], "time_off")
    assert (off(staff), staff.audited("time_off")) == ([], [])
    assert str(INES) in offered(staff)
    done = add(staff, TEN, TEN + 3 * HOUR)
    assert (done.status, done.said["dryRun"], done.stranded) == (201, False, asked.stranded)
    assert [str(each) for each in off(staff)] == [done.said["id"]]
    assert str(INES) not in offered(staff)
    (line,) = staff.audited("time_off")
    assert (line["action"], line["actor_id"], line["entity_id"]) == ("create", staff.id, done.said["id"])
    assert (line["after"]["providerId"], line["request_id"]) == (str(INES), "request-add_time_off")
    assert len(staff.shown("time_off")) == 6  # Of the question, and of the change.
    rest = add(staff, TEN - HOUR / 2, TEN + 4 * HOUR, who=twin)  # What the first time off hit is none of its doing.
    assert rest.stranded == dict.fromkeys([before, after], "time_off")


def test_time_off_over_time_off_is_refused(staff: Staff) -> None:
    one = add(staff, TEN, TEN + HOUR).said["id"]
    for dry_run in (True, False):
        refused = add(staff, TEN + HOUR / 2, TEN + A_DAY, dry_run=dry_run)
        assert (refused.status, refused.slug, refused.said["timeOffId"]) == (409, "time-off-overlaps", one)
    assert add(staff, TEN + HOUR, TEN + 2 * HOUR).status == 201
    assert add(staff, TEN, TEN + HOUR, who=EMIL).status == 201
    assert add(staff, TEN, TEN).errors == [("", "before_start")]
    assert add(staff, TEN, TEN + HOUR, who=uuid4()).slug == "not-found"
    assert len(off(staff)) == 3


def move(staff: Staff, time_off_id: Any, start: Any, end: Any, *, dry_run: bool = False, who: UUID = INES) -> Any:
    query = {"dryRun": "true"} if dry_run else {}
    body = {"start": start.isoformat(), "end": end.isoformat()}
    return staff.ask("move_time_off", body, query=query, providerId=who, timeOffId=time_off_id)


def test_time_off_that_becomes_longer_tells_only_the_visits_of_the_time_that_was_added(staff: Staff) -> None:
    known, added = staff.visit(TEN), staff.visit(TEN + 2 * HOUR)
    time_off_id = add(staff, TEN, TEN + HOUR).said["id"]
    shown = len(staff.shown("time_off"))
    asked = move(staff, time_off_id, TEN, TEN + 3 * HOUR, dry_run=True)
    assert (asked.status, asked.said["id"], asked.said["dryRun"]) == (200, time_off_id, True)
    assert asked.stranded == {added: "time_off"}
    assert [line["action"] for line in staff.audited("time_off")] == ["create"]
    for _ in range(2):  # The second one changes nothing, and strands nobody who was not told.
        done = move(staff, time_off_id, TEN, TEN + 3 * HOUR)
        assert (done.status, done.said["end"]) == (200, "2027-03-11T13:00:00-07:00")
    assert (done.stranded, len(staff.shown("time_off"))) == ({}, shown + 2)
    _, line = staff.audited("time_off")
    assert (line["action"], line["entity_id"], line["actor_id"]) == ("update", time_off_id, staff.id)
    assert line["before"]["end"] < line["after"]["end"]
    assert line["before"]["providerId"] == line["after"]["providerId"] == str(INES)
    (row,) = staff.functions.rows("select * from provider_time_off")
    assert (row["start"], row["end"]) == (TEN, TEN + 3 * HOUR)
    away = move(staff, time_off_id, TEN + A_DAY, TEN + A_DAY + HOUR)
    assert (away.status, away.stranded) == (200, {})
    assert add(staff, TEN, TEN + HOUR).stranded == {known: "time_off"}


def test_time_off_is_not_moved_over_other_time_off_nor_by_somebody_elses_name(staff: Staff) -> None:
    one, other = (add(staff, TEN + days * A_DAY, TEN + days * A_DAY + HOUR).said["id"] for days in (0, 1))
    before = staff.functions.rows("select * from provider_time_off order by id")
    for dry_run in (True, False):
        refused = move(staff, one, TEN, TEN + 2 * A_DAY, dry_run=dry_run)
        assert (refused.status, refused.slug, refused.said["timeOffId"]) == (409, "time-off-overlaps", other)
        for time_off_id, who in ((one, EMIL), (uuid4(), INES), (one, uuid4())):
            assert move(staff, time_off_id, TEN, TEN + 2 * HOUR, dry_run=dry_run, who=who).slug == "not-found"
        assert move(staff, one, TEN, TEN, dry_run=dry_run).errors == [("", "before_start")]
    assert staff.functions.rows("select * from provider_time_off order by id") == before


def test_time_off_is_listed_by_the_practices_days_and_taken_back(staff: Staff) -> None:
    starts = [TEN + number * A_DAY for number in (-40, 0, 1, 2)]
    ids = [add(staff, start, start + HOUR).said["id"] for start in starts]
    add(staff, TEN, TEN + HOUR, who=EMIL)

    def listed(**query: str) -> list[str]:
        found: list[str] = []
        while True:
            page = staff.ask("time_off", query={"limit": "2", **query}, providerId=INES)
            assert page.status == 200, page.said
            found += [item["id"] for item in page.said["items"]]
            if page.said["nextCursor"] is None:
                return found
            query["cursor"] = page.said["nextCursor"]

    assert listed() == ids
    assert listed(**{"from": "2027-03-11"}) == ids[1:]
    assert listed(**{"from": "2027-03-12", "to": "2027-03-12"}) == ids[2:3]
    assert listed(to="2027-03-10") == ids[:1]
    assert staff.ask("time_off", query={"from": "soon"}, providerId=INES).errors == [("/query/from", "date_text")]
    assert staff.ask("time_off", providerId=uuid4()).slug == "not-found"

    for _ in range(2):
        gone = staff.ask("drop_time_off", providerId=INES, timeOffId=ids[1])
        assert (gone.status, gone.said) == (204, None)
    assert staff.ask("drop_time_off", providerId=EMIL, timeOffId=ids[2]).status == 204  # It is not Emil's.
    assert listed() == [ids[0], *ids[2:]]
    assert staff.ask("drop_time_off", providerId=uuid4(), timeOffId=ids[2]).slug == "not-found"
    (line,) = [line for line in staff.audited("time_off") if line["action"] == "delete"]
    assert (line["entity_id"], line["before"]["providerId"], line["after"]) == (ids[1], str(INES), None)
    assert add(staff, NOON, NOON + 30 * A_DAY).slug == "time-off-overlaps"
