"""What partners see of their patients, over the function as API Gateway calls it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from icalendar import Calendar

from moonlit.partners import desk
from moonlit.sync.activity import note_activity
from moonlit.sync.logs import Counts
from tests.fixtures_access import CLOSED_HOUSE, add_partner, add_staff
from tests.fixtures_booking import INES
from tests.fixtures_intakeq import NOON
from tests.fixtures_partners import ADMIN, HOUSE, LINK, MANAGER, OTHER_ADMIN, TODAY, Houses


def roster(houses: Houses, sub: str = ADMIN, **query: str) -> dict[str, dict[str, Any]]:
    status, said = houses.ask("roster", sub, **query)
    assert status == 200, said
    return {item["name"]: item for item in said["items"]}


def slug(said: Any) -> str:
    return str(said["type"]).rpartition("/")[2]


# ── The roster ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sub", [ADMIN, MANAGER])
def test_roster_shows_the_house_s_own_patients_by_name(houses: Houses, sub: str) -> None:
    assert list(roster(houses, sub)) == ["Odell Ames", "Petra Ames", "Sol Dunn", "Dana Whitlock"]
    assert list(roster(houses, OTHER_ADMIN)) == ["Rosa Crane", "Sol Dunn"]


def test_roster_says_what_comes_next_and_how_fresh_that_is(houses: Houses) -> None:
    houses.functions.execute("update patients set last_practiceq_sync_at = :at", at=NOON - timedelta(minutes=5))
    houses.functions.execute("update organizations set last_practiceq_sync_at = :at", at=NOON)  # Of all its patients.
    appointment_id = houses.functions.rows("select id from appointments where patient_id = :p", p=houses.dana)[0]["id"]
    assert roster(houses)["Dana Whitlock"] == {
        "patientId": str(houses.dana),
        "name": "Dana Whitlock",
        "provider": {"id": str(INES), "name": "Ines Okafor"},
        "nextAppointment": {
            "appointmentId": str(appointment_id),
            "start": "2027-03-11T18:00:00-07:00",
            "end": "2027-03-11T19:00:00-07:00",
            "status": "confirmed",
            "provider": {"id": str(INES), "name": "Ines Okafor"},
            "modality": "telehealth",
            "meetingUrl": None,
            "joinLink": "later",
            "location": {"name": "Telehealth (UT)", "kind": "telehealth"},
        },
        "lastSyncedAt": "2027-03-10T11:55:00-07:00",
        "consent": "active",
    }


def test_without_consent_a_patient_is_there_and_no_visit_of_theirs(houses: Houses) -> None:
    shown = roster(houses)
    for name, consent in (("Odell Ames", "expired"), ("Petra Ames", "missing")):
        assert (shown[name]["consent"], shown[name]["nextAppointment"], shown[name]["provider"]) == (
            consent,
            None,
            None,
        )


def test_consent_holds_through_its_last_day_of_the_practice_and_no_longer(houses: Houses) -> None:
    houses.functions.clock.advance(hours=11, minutes=59)  # 23:59 in Denver, the next day in UTC.
    assert roster(houses)["Dana Whitlock"]["nextAppointment"]
    houses.functions.clock.advance(minutes=1)
    assert roster(houses)["Dana Whitlock"]["consent"] == "expired"
    assert roster(houses)["Dana Whitlock"]["nextAppointment"] is None


def test_second_affiliation_with_consent_counts(houses: Houses) -> None:
    houses.affiliate(houses.silent, roi_expires_on=TODAY + timedelta(days=1))
    shown = roster(houses)
    assert (len(shown), shown["Petra Ames"]["consent"]) == (4, "active")
    assert shown["Petra Ames"]["nextAppointment"]


@pytest.mark.parametrize(
    ("hours", "join_link", "url"),
    [(24.02, "later", None), (24, "ready", LINK), (0.5, "ready", LINK), (-0.5, "ready", LINK)],
)
def test_link_is_there_from_a_day_before_to_the_end(houses: Houses, hours: float, join_link: str, url: str) -> None:
    houses.functions.execute("delete from appointments")
    houses.visit(houses.dana, hours)
    shown = roster(houses)["Dana Whitlock"]["nextAppointment"]
    assert (shown["joinLink"], shown["meetingUrl"]) == (join_link, url)


def test_next_is_the_earliest_that_still_stands_and_has_not_ended(houses: Houses) -> None:
    houses.functions.execute("delete from appointments")
    houses.visit(houses.dana, -1)  # It ends at this very moment.
    for status in ("cancelled", "declined", "no_show", "failed"):
        houses.visit(houses.dana, 1, status=status)
    assert roster(houses)["Dana Whitlock"]["nextAppointment"] is None
    assert roster(houses)["Dana Whitlock"]["provider"] == {"id": str(INES), "name": "Ines Okafor"}
    wanted = houses.visit(houses.dana, 2, status="scheduled", provider_id=None, meeting_url=None, location_info=None)
    houses.visit(houses.dana, 3)
    shown = roster(houses)["Dana Whitlock"]["nextAppointment"]
    assert (shown["appointmentId"], shown["joinLink"], shown["provider"]) == (str(wanted), "none", None)


def test_search_is_by_a_part_of_the_name_whatever_its_case(houses: Houses) -> None:
    houses.patient("Percent", "100%")
    assert list(roster(houses, q="ames")) == ["Odell Ames", "Petra Ames"]
    assert list(roster(houses, q="a wHIT")) == ["Dana Whitlock"]
    assert roster(houses, q="%") == {}
    assert roster(houses, q="crane") == {}


def test_pages_show_everybody_once_and_their_cursors_name_nobody(houses: Houses) -> None:
    for number in range(5):  # Equal names, so that a page ends between equals.
        houses.affiliate(houses.patient("Sol", "Dunn", email=f"{number}@example.org"))
    seen: list[str] = []
    query = {"limit": "2"}
    while query.get("cursor") != "":
        said = houses.ask("roster", **query)[1]
        seen += [item["patientId"] for item in said["items"]]
        query["cursor"] = said["nextCursor"] or ""
        assert not query["cursor"] or UUID(query["cursor"])
    assert len(seen) == len(set(seen)) == 9
    assert seen == [item["patientId"] for item in houses.ask("roster", limit="200")[1]["items"]]


@pytest.mark.parametrize("whose", ["theirs", "left", "nobody", "garbage"])
def test_cursor_that_is_none_of_the_house_s_is_refused_and_noted(houses: Houses, whose: str) -> None:
    cursor = {"nobody": str(uuid4()), "garbage": "WzEsIDJd"}.get(whose) or str(getattr(houses, whose))
    status, said = houses.ask("roster", cursor=cursor)
    assert (status, said["errors"]) == (422, [{"pointer": "/query/cursor", "code": "cursor"}])
    (noted,) = houses.audit("refused")
    assert (noted["actor_id"], noted["organization_id"]) == (houses.users[ADMIN], HOUSE)
    assert (noted["entity"], noted["after"]) == ("GET /partner-dashboard/patients", {"slug": "malformed-request"})


def test_roster_takes_one_statement_however_many_patients(houses: Houses) -> None:
    sent: list[str] = []

    def note(*told: Any) -> None:
        sent.append(told[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        roster(houses)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert len([statement for statement in sent if "partner_" in statement and "set_config" not in statement]) == 1
    assert len(sent) <= 6, "who asks, the zone, whose patients, the roster, the note of it"


# ── One patient ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_patient_has_visits_and_a_timeline_latest_first(houses: Houses) -> None:
    past = houses.visit(houses.dana, -48)
    houses.visit(houses.dana, -1, status="failed")  # It never came to be.
    with houses.functions.begin() as connection:
        note_activity(connection, {str(houses.dana): Counts(new=2)}, "automated_daily", {}, NOON)
    houses.functions.execute(
        "insert into patient_activity_log (id, patient_id, at, kind, actor, details)"
        " values (gen_random_uuid(), :p, :at, 'patient_overlap_overruled', 'staff', '{\"reason\": \"asked\"}')",
        p=houses.dana, at=NOON,
    )  # fmt: skip
    status, said = houses.ask("patient", about=houses.dana)
    assert status == 200
    assert [(visit["status"], visit["joinLink"]) for visit in said["appointments"]] == [
        ("confirmed", "later"), ("completed", "expired"),
    ]  # fmt: skip
    assert said["appointments"][1]["appointmentId"] == str(past)
    assert said["nextAppointment"] == said["appointments"][0]
    assert said["timeline"] == [
        {"at": "2027-03-10T12:00:00-07:00", "by": "Nightly sync",
         "summary": {"new": 2, "updated": 0, "unchanged": 0, "errors": 0}}
    ]  # fmt: skip


@pytest.mark.parametrize("whose", ["expired", "silent"])
def test_patient_without_consent_has_neither_visits_nor_timeline(houses: Houses, whose: str) -> None:
    patient_id = getattr(houses, whose)
    with houses.functions.begin() as connection:
        note_activity(connection, {str(patient_id): Counts(new=2)}, "automated_daily", {}, NOON)
    status, said = houses.ask("patient", about=patient_id)
    assert (status, said["appointments"], said["timeline"], said["nextAppointment"]) == (200, [], [], None)
    assert said["consent"] != "active"


@pytest.mark.parametrize("whose", ["theirs", "left"])
@pytest.mark.parametrize("route", ["patient", "sync_patient", "sync_history"])
def test_patient_of_others_is_nobody_and_the_attempt_is_noted(houses: Houses, whose: str, route: str) -> None:
    patient_id = getattr(houses, whose)
    status, said = houses.ask(route, MANAGER, about=patient_id)
    assert (status, slug(said)) == (404, "not-found")
    assert str(patient_id) not in str(houses.ask("roster")[1])
    (noted,) = houses.audit("refused")
    assert (noted["actor_id"], noted["entity_id"]) == (houses.users[MANAGER], str(patient_id))
    assert houses.functions.intakeq.requests() == []


def test_every_look_is_noted_with_whom_it_showed(houses: Houses) -> None:
    houses.ask("roster", MANAGER)
    houses.ask("patient", about=houses.dana)
    houses.ask("sync_history", about=houses.silent)
    ours = {houses.dana, houses.expired, houses.silent, houses.shared}
    noted = houses.audit("read")
    assert [(row["entity"], set(row["patient_ids"])) for row in noted] == [
        ("roster", ours), ("patient", {houses.dana}), ("sync_history", {houses.silent}),
    ]  # fmt: skip
    assert [row["actor_id"] for row in noted] == [houses.users[MANAGER], *[houses.users[ADMIN]] * 2]
    assert {(row["actor_kind"], row["organization_id"], row["request_id"]) for row in noted} == {
        ("partner", HOUSE, "request")
    }


# ── Who may ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_staff_have_no_house_and_a_closed_house_has_no_roster(houses: Houses) -> None:
    add_staff(houses.functions, "admin", "s-staff")
    add_partner(houses.functions, "partner_admin", "s-closed", CLOSED_HOUSE)
    for sub in ("s-staff", "s-closed"):
        status, said = houses.ask("roster", sub)
        assert (status, slug(said)) == (403, "forbidden")
    assert said["detail"] == "the organization is closed"
    status, said = houses.ask("roster", "s-stranger")
    assert (status, slug(said)) == (401, "sign-in-refused")
    assert [row["organization_id"] for row in houses.audit("refused")] == [CLOSED_HOUSE]


@pytest.mark.parametrize(
    ("route", "query"),
    [("roster", {"limit": "0"}), ("roster", {"nobody": "x"}), ("roster", {"q": ""}), ("patient", {"x": "1"})],
)
def test_every_malformed_question_is_noted(houses: Houses, route: str, query: dict[str, str]) -> None:
    about = houses.dana if route == "patient" else None
    assert houses.ask(route, about=about, **query)[0] == 422
    assert [row["after"] for row in houses.audit("refused")] == [{"slug": "malformed-request"}]


# ── The calendar ──────────────────────────────────────────────────────────────────────────────────────────────────────


def token_of(houses: Houses, sub: str = ADMIN) -> str:
    status, said = houses.ask("issue_calendar_token", sub)
    assert status == 201
    assert said["url"] == f"/partner-dashboard/calendar.ics?token={said['token']}"
    return str(said["token"])


def test_feed_shows_times_and_initials_and_no_more(houses: Houses) -> None:
    cancelled = houses.visit(houses.dana, 50, status="cancelled")
    houses.visit(houses.dana, -24 * 31)
    houses.visit(houses.dana, 24 * 200)
    status, text = houses.feed(token_of(houses))
    assert status == 200
    events = {str(event["uid"]): event for event in Calendar.from_ical(text).walk("VEVENT")}
    assert sorted(str(event["summary"]) for event in events.values()) == [
        "D.W. (telehealth)", "D.W. (telehealth)", "S.D. (telehealth)",
    ]  # fmt: skip
    assert str(events[f"{cancelled}@moonlit"]["status"]) == "CANCELLED"
    for told in ("Whitlock", "Dana", "Ines", "example.org", "meet.example"):
        assert told not in text
    (noted,) = (row for row in houses.audit("read") if row["entity"] == "calendar")
    assert (noted["actor_kind"], noted["actor_id"], noted["organization_id"]) == (
        "calendar", houses.users[ADMIN], HOUSE,
    )  # fmt: skip
    assert set(noted["patient_ids"]) == {houses.dana, houses.shared}


def test_new_token_replaces_the_old_one_and_a_revoked_one_opens_nothing(houses: Houses) -> None:
    first, others = token_of(houses), token_of(houses, MANAGER)
    second = token_of(houses)
    assert [houses.feed(token)[0] for token in (first, second, others)] == [401, 200, 200]
    assert [houses.ask("revoke_calendar_token")[0] for _ in range(2)] == [204, 204]
    assert [houses.feed(token)[0] for token in (second, others)] == [401, 200]
    assert [row["action"] for row in houses.functions.rows(
        "select action from audit_log where entity = 'calendar_token' order by at, action")] == [
        "issued", "issued", "issued", "revoked",
    ]  # fmt: skip
    assert second not in str(houses.functions.rows("select * from calendar_tokens"))


def test_token_ends_with_its_owner_s_place_and_with_the_house(houses: Houses) -> None:
    token = token_of(houses)
    houses.functions.execute("update organizations set active = false where id = :o", o=HOUSE)
    assert houses.feed(token)[0] == 401
    houses.functions.execute("update organizations set active = true")
    houses.functions.execute("update partner_users set organization_id = :o where id = :u",
                             o=UUID(int=0xB0), u=houses.users[ADMIN])  # fmt: skip
    assert houses.feed(token)[0] == 401


def test_token_ends_with_its_owner_s_sign_in_and_does_not_come_back(houses: Houses) -> None:
    token, user_id = token_of(houses), houses.users[ADMIN]
    houses.functions.execute("update partner_users set identity_sub = null where id = :u", u=user_id)
    assert houses.feed(token)[0] == 401
    houses.functions.execute("update partner_users set identity_sub = 's-admin' where id = :u", u=user_id)
    assert houses.feed(token)[0] == 401


def test_who_moves_to_another_house_gets_a_new_token_there(houses: Houses) -> None:
    token, move = token_of(houses), "update partner_users set organization_id = :o where id = :u"
    houses.functions.execute(move, o=UUID(int=0xB0), u=houses.users[ADMIN])
    there = token_of(houses)
    assert [houses.feed(each)[0] for each in (token, there)] == [401, 200]
    houses.functions.execute(move, o=HOUSE, u=houses.users[ADMIN])
    assert [houses.feed(each)[0] for each in (token, there)] == [401, 401]


def test_feed_that_is_too_long_keeps_what_is_to_come(houses: Houses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_FEED_VISITS", 2)
    coming = houses.visit(houses.dana, 1)
    for hours in (-30, -20, -10):
        houses.visit(houses.dana, hours)
    text = houses.feed(token_of(houses))[1]
    assert (text.count("BEGIN:VEVENT"), str(coming) in text) == (2, True)


@pytest.mark.parametrize("token", ["x", "a" * 43, "é"])
def test_token_of_nobody_is_refused(houses: Houses, token: str) -> None:
    assert houses.feed(token)[0] in {401, 422}
