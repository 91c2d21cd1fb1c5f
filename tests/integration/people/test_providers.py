"""Providers as staff keep them: what a change strands, whom it makes somebody else, and what is refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from moonlit.availability.store import Availability
from moonlit.booking.claims import Claim, Claims
from moonlit.booking.errors import SlotTaken
from moonlit.booking.offer import Counter
from moonlit.booking.wanted import SlotWish
from moonlit.db import tables as t
from tests.fixtures_access import add_partner, add_staff, as_user
from tests.fixtures_booking import EMIL, INES, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions, sample
from tests.fixtures_intakeq import NOON, PRACTITIONER
from tests.fixtures_people import PROVIDER, Staff

HOUR = timedelta(hours=1)
ROUTES = (
    "providers", "add_provider", "provider", "change_provider", "hours", "replace_hours", "time_off", "add_time_off",
    "move_time_off", "drop_time_off", "resync_provider", "organizations", "add_organization", "organization",
    "change_organization", "partner_users", "add_partner_user", "partner_user", "change_partner_user",
)  # fmt: skip


def put(staff: Staff, provider_id: UUID = INES, /, *, dry_run: bool = False, if_match: str = "", **changes: Any) -> Any:
    query = {"dryRun": "true"} if dry_run else {}
    return staff.ask("change_provider", {**PROVIDER, **changes}, query=query, if_match=if_match, providerId=provider_id)


def row_of(staff: Staff, provider_id: UUID = INES) -> Any:
    return staff.functions.rows("select * from providers where id = :id", id=provider_id)[0]


def claim(staff: Staff, appointment_id: UUID, *persons: UUID, start: Any = TEN) -> None:
    with staff.functions.begin() as connection:
        Claims(connection).add(appointment_id, [Claim("person", each, start, start + HOUR) for each in persons])


def claimed(staff: Staff, appointment_id: UUID) -> list[UUID]:
    query = "select resource_id from time_claims where appointment_id = :id and resource_kind = 'person'"
    return [row["resource_id"] for row in staff.functions.rows(query, id=appointment_id)]


def test_nobody_but_an_admin_may(functions: Functions) -> None:
    add_staff(functions, "biller", "s-biller")
    add_partner(functions, "partner_admin", "s-partner")
    before = functions.rows("select * from providers order by id")
    for name in ROUTES:
        for sub, status in (("s-biller", 403), ("s-partner", 403), ("s-stranger", 401)):
            assert functions.call("admin", as_user(f"admin/{name}", sub=sub))["statusCode"] == status, name
    assert functions.rows("select * from providers order by id") == before
    assert functions.rows("select 1 from sync_runs union all select 1 from provider_time_off") == []


def test_a_provider_is_added_found_and_paged(staff: Staff) -> None:
    added = staff.ask("add_provider", {"name": " Ruth Abel ", "npi": "1234567893", "licenseStates": ["UT", "ID", "UT"],
                                       "ehrSystem": "athena", "timezone": "America/Boise", "personKey": "ruth"})  # fmt: skip
    provider_id = UUID(added.said["id"])
    assert (added.status, added.said) == (
        201,
        {
            "id": str(provider_id), "name": "Ruth Abel", "npi": "1234567893", "licenseStates": ["ID", "UT"],
            "nativeLangs": [], "interpreterOk": False, "active": True, "acceptingNewPatients": True,
            "ehrSystem": "athena", "timezone": "America/Boise", "personKey": "ruth", "maxDailyAppointments": None,
            "ehr": {"system": "athena", "practitionerId": None, "practitionerEmail": None, "locationId": None},
            "summary": {"hours": 0, "contracts": 0},
        },
    )  # fmt: skip
    shown = staff.ask("provider", providerId=provider_id)
    assert (shown.status, shown.said, shown.etag) == (200, added.said, added.etag)
    (line,) = staff.audited("provider")
    assert (line["action"], line["actor_id"], line["entity_id"]) == ("create", staff.id, str(provider_id))
    assert (line["before"], line["request_id"]) == (None, "request-add_provider")
    assert line["after"]["untold"] == ["name", "npi", "personKey"]
    assert line["after"]["licenseStates"] == ["ID", "UT"]
    assert "Ruth" not in json.dumps(line, default=str)

    staff.functions.execute("update providers set active = false where id = :id", id=EMIL)
    first = staff.ask("providers", query={"limit": "2"}).said
    second = staff.ask("providers", query={"limit": "2", "cursor": first["nextCursor"]}).said
    assert [item["name"] for item in first["items"] + second["items"]] == ["Emil Varga", "Ines Okafor", "Ruth Abel"]
    assert second["nextCursor"] is None
    for query, names in (
        ({"q": "OKA"}, ["Ines Okafor"]), ({"q": "%"}, []), ({"active": "false"}, ["Emil Varga"]),
        ({"active": "true", "q": "a"}, ["Ines Okafor", "Ruth Abel"]),
    ):  # fmt: skip
        assert [item["name"] for item in staff.ask("providers", query=query).said["items"]] == names
    assert staff.ask("providers", query={"active": "yes"}).errors == [("/query/active", "true_or_false")]
    assert staff.ask("providers", query={"cursor": "Okafor"}).errors == [("/query/cursor", "cursor")]
    assert staff.ask("provider", providerId=uuid4()).slug == "not-found"


def test_a_provider_shows_their_practitioner_hours_and_contracts(staff: Staff) -> None:
    said = staff.ask("provider", providerId=INES).said
    assert said["ehr"] == {
        "system": "intakeq", "practitionerId": PRACTITIONER, "practitionerEmail": "i@example.org", "locationId": None,
    }  # fmt: skip
    assert said["summary"] == {"hours": 5, "contracts": 1}
    in_athena = staff.provider(ehr_system="athena")
    staff.functions.execute(
        "insert into provider_athena_settings (provider_id, athena_provider_id, department_id) values (:id, '71', '3')",
        id=in_athena,
    )
    assert staff.ask("provider", providerId=in_athena).said["ehr"] == {
        "system": "athena", "practitionerId": "71", "practitionerEmail": None, "locationId": "3",
    }  # fmt: skip


WRONG_PROVIDERS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"npi": "1234567890"}, ("/npi", "npi")),
    ({"npi": "123"}, ("/npi", "npi")),
    ({"timezone": "America/Atlantis"}, ("/timezone", "zone")),
    ({"licenseStates": ["Utah"]}, ("/licenseStates/0", "string_pattern_mismatch")),
    ({"nativeLangs": ["English"]}, ("/nativeLangs/0", "string_pattern_mismatch")),
    ({"ehrSystem": "practiceq"}, ("/ehrSystem", "literal_error")),
    ({"active": "true"}, ("/active", "bool_type")),
    ({"maxDailyAppointments": 0}, ("/maxDailyAppointments", "greater_than_equal")),
    ({"maxDailyAppointments": "4"}, ("/maxDailyAppointments", "int_type")),
    ({"name": " "}, ("/name", "string_too_short")),
    ({"ehr": {}}, ("/ehr", "extra_forbidden")),
]


def test_a_provider_who_makes_no_sense_is_refused(staff: Staff) -> None:
    for changes, error in WRONG_PROVIDERS:
        assert staff.ask("add_provider", {**PROVIDER, **changes}).errors == [error]
        assert put(staff, **changes).errors == [error]
    assert len(staff.functions.rows("select 1 from providers")) == 2
    assert staff.audited("provider") == []


def test_a_put_says_everything(staff: Staff) -> None:
    partial = {name: value for name, value in PROVIDER.items() if name != "active"}
    assert staff.ask("change_provider", partial, query={}, providerId=INES).errors == [("/active", "missing")]
    assert put(staff, uuid4()).slug == "not-found"


def test_a_number_that_was_taken_over_wrong_may_stand_until_it_is_mended(staff: Staff) -> None:
    staff.functions.execute("update providers set npi = '1555000001' where id = :id", id=INES)
    assert put(staff, npi="1555000001", maxDailyAppointments=4).said["changed"] == ["maxDailyAppointments"]
    assert put(staff, npi="1555000002").errors == [("/npi", "npi")]


def test_a_change_is_made_from_what_was_read_and_one_that_changes_nothing_leaves_no_trace(staff: Staff) -> None:
    read = staff.ask("provider", providerId=INES)
    same = put(staff, if_match=read.etag)
    assert (same.said["changed"], same.etag, staff.audited("provider")) == ([], read.etag, [])
    changed = put(staff, if_match=read.etag, nativeLangs=["es", "en"], interpreterOk=True)
    assert changed.said["changed"] == ["interpreterOk", "nativeLangs"]
    again = staff.ask("provider", providerId=INES)
    assert changed.etag == again.etag != read.etag
    assert {name: changed.said[name] for name in again.said} == again.said
    late = put(staff, if_match=read.etag, active=False)
    assert (late.status, late.slug) == (412, "stale-etag")
    assert row_of(staff)["active"] is True
    (line,) = staff.audited("provider")
    assert (line["action"], line["before"]) == ("update", {"interpreterOk": False, "nativeLangs": ["en"]})
    assert line["after"] == {"interpreterOk": True, "nativeLangs": ["en", "es"]}
    put(staff, nativeLangs=["es", "en"], interpreterOk=True, name="Ines Okafor-Bell")
    assert staff.audited("provider")[1]["after"] == {"untold": ["name"]}


def test_who_stops_or_loses_a_licence_strands_visits_to_come_and_a_dry_run_only_tells(staff: Staff) -> None:
    here = staff.visit(TEN)
    in_idaho = staff.visit(TEN + HOUR, patient_state="ID")
    at_home = staff.visit(TEN + 2 * HOUR, patient_state=None)  # Where the patient lives, as far as anybody knows.
    signed = staff.visit(TEN + 3 * HOUR, provider_id=EMIL, rendering_provider_id=INES, patient_state="ID")
    joined = staff.visit(
        TEN + 4 * HOUR, provider_id=EMIL, rendering_provider_id=INES, co_visit=True, patient_state="ID"
    )
    staff.visit(TEN + 5 * HOUR, status="cancelled")
    staff.visit(NOON - HOUR)
    staff.visit(TEN, provider_id=EMIL)
    staff.functions.execute(
        "update patients set state = 'ID' where id = (select patient_id from appointments where id = :id)", id=at_home
    )
    staff.functions.execute("update providers set license_states = '{ID,UT}' where id = :id", id=INES)

    read = staff.ask("provider", providerId=INES)
    asked = put(staff, dry_run=True)
    lost = "not_licensed_in_state"
    assert asked.stranded == {in_idaho: lost, at_home: lost, joined: lost}
    assert (asked.said["dryRun"], asked.said["changed"], asked.etag) == (True, ["licenseStates"], read.etag)
    stopped = put(staff, dry_run=True, active=False)
    assert stopped.stranded == dict.fromkeys([here, in_idaho, at_home, signed, joined], "provider_inactive")
    assert [item["start"] for item in stopped.said["stranded"]["items"]] == sorted(
        item["start"] for item in stopped.said["stranded"]["items"]
    )
    assert row_of(staff)["license_states"] == ["ID", "UT"]
    assert staff.audited("provider") == []
    assert len(set(staff.shown("provider"))) == 5

    done = put(staff)
    assert (done.said["dryRun"], done.stranded) == (False, asked.stranded)
    assert row_of(staff)["license_states"] == ["UT"]
    assert put(staff, active=False).stranded.keys() == stopped.stranded.keys()
    assert put(staff, active=False, licenseStates=[]).stranded == {}  # Nothing is left to lose.
    slots = json.loads(staff.functions.call("availability", sample("availability/availability"))["body"])["slots"]
    assert all(slot["providerIds"] == [str(EMIL)] for slot in slots)


def test_who_stops_takes_along_what_residents_have_of_them(staff: Staff) -> None:
    """Visits that an EHR told of name no attending."""
    staff.functions.execute("delete from provider_payer_networks where provider_id = :id", id=EMIL)
    with staff.functions.begin() as connection:
        row = {"resident_id": EMIL, "attending_id": INES, "level": "sign_off_only", "effective_date": NOON.date()}
        connection.execute(sa.insert(t.supervision_relationships).values(id=uuid4(), **row))
    lent = staff.visit(TEN, provider_id=EMIL)
    staff.visit(TEN + HOUR, provider_id=EMIL, payer_id=None)  # Nobody has said what it stands on.
    assert put(staff, dry_run=True, active=False).stranded == {lent: "no_contract"}
    assert put(staff, dry_run=True, acceptingNewPatients=False).stranded == {}
    emil = {**PROVIDER, "name": "Emil Varga"}
    assert put(staff, personKey="one").stranded == {}
    assert put(staff, EMIL, dry_run=True, **emil | {"personKey": "one"}).stranded == {lent: "no_contract"}
    assert put(staff, active=False, personKey="one").stranded == {lent: "no_contract"}
    assert put(staff, active=False, licenseStates=[]).stranded == {}  # What is gone is gone.


def test_where_a_calendar_is_stays_as_long_as_anything_says_so(staff: Staff) -> None:
    assert put(staff, ehrSystem="athena").slug == "ehr-system-in-use"
    nobody = staff.provider()
    moved = put(staff, nobody, name="Ruth Abel", licenseStates=[], nativeLangs=[], ehrSystem="athena")
    assert (moved.status, moved.said["changed"]) == (200, ["ehrSystem"])
    assert moved.said["ehr"]["system"] == "athena"
    assert moved.etag == staff.ask("provider", providerId=nobody).etag
    staff.visit(provider_id=nobody)
    refused = put(staff, nobody, name="Ruth Abel", ehrSystem="intakeq")
    assert (refused.status, refused.slug) == (409, "ehr-system-in-use")
    assert row_of(staff, nobody)["ehr_system"] == "athena"


# ── One human ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def person(staff: Staff, provider_id: UUID) -> UUID:
    return UUID(str(row_of(staff, provider_id)["person_id"]))


def test_who_turns_out_to_be_somebody_known_takes_the_time_of_coming_visits_along(staff: Staff) -> None:
    other = staff.provider(person_key="ines")
    coming, joined, past = staff.visit(), staff.visit(TEN + HOUR, provider_id=EMIL), staff.visit(NOON - 2 * HOUR)
    staff.functions.execute(
        "update appointments set rendering_provider_id = :ines, co_visit = true where id = :id", ines=INES, id=joined
    )
    claim(staff, coming, INES)
    claim(staff, joined, EMIL, INES, start=TEN + HOUR)
    claim(staff, past, INES, start=NOON - 2 * HOUR)
    asked = put(staff, dry_run=True, personKey="ines")
    assert (asked.said["changed"], claimed(staff, coming)) == (["personKey"], [INES])
    done = put(staff, personKey="ines")
    assert (done.status, done.stranded) == (200, {})
    human = person(staff, other)
    assert person(staff, INES) == human != INES
    assert claimed(staff, coming) == [human]
    assert set(claimed(staff, joined)) == {human, EMIL}
    assert claimed(staff, past) == [INES]
    assert staff.audited("provider")[0]["after"] == {"untold": ["personKey"], "claimsMoved": 2}
    busy = sample("book/book")
    assert staff.functions.call("book", busy)["statusCode"] == 409  # Under either id.
    assert put(staff).said["changed"] == ["personKey"]  # And back again.
    assert claimed(staff, coming) == [INES]


def test_time_off_of_one_id_falls_on_the_visits_of_the_other_once_they_are_one(staff: Staff) -> None:
    twin = staff.provider(person_key="ines")
    on_theirs, on_own = staff.visit(TEN), staff.visit(TEN + 2 * HOUR, provider_id=twin)
    staff.visit(TEN + 4 * HOUR)  # On Ines' own time off already.
    staff.visit(TEN + 6 * HOUR, provider_id=twin)
    staff.visit(TEN, provider_id=EMIL, rendering_provider_id=INES)  # Only signed.
    for who, hours in ((twin, 0), (INES, 2), (INES, 4), (twin, 4)):
        body = {"start": (TEN + hours * HOUR).isoformat(), "end": (TEN + (hours + 1) * HOUR).isoformat()}
        assert staff.ask("add_time_off", body, providerId=who).status == 201
    joined = dict.fromkeys([on_theirs, on_own], "time_off")
    assert put(staff, dry_run=True, personKey="ines").stranded == joined
    assert put(staff, dry_run=True, personKey="ines", active=False).stranded[on_theirs] == "provider_inactive"
    assert put(staff, personKey="ines").stranded == joined
    assert put(staff).stranded == {}  # Two again.
    assert put(staff, personKey="somebody").stranded == {}


def test_one_human_is_not_at_two_visits_at_once(staff: Staff) -> None:
    other = staff.provider(person_key="ines")
    mine, theirs = staff.visit(), staff.visit(TEN + HOUR / 2, provider_id=other)
    claim(staff, mine, INES)
    claim(staff, theirs, person(staff, other), start=TEN + HOUR / 2)
    for dry_run in (True, False):
        refused = put(staff, dry_run=dry_run, personKey="ines")
        assert (refused.status, refused.slug) == (409, "person-overlaps")
        assert refused.said["appointmentIds"] == [[str(mine), str(theirs)]]
    assert (claimed(staff, mine), row_of(staff)["person_key"]) == ([INES], None)
    staff.functions.execute("delete from time_claims where appointment_id = :id", id=theirs)
    assert put(staff, personKey="ines").status == 200


def test_a_co_visit_of_two_who_are_one_takes_their_time_once(staff: Staff) -> None:
    other = staff.provider(person_key="ines")
    both = staff.visit(rendering_provider_id=other, co_visit=True)
    claim(staff, both, INES, person(staff, other))
    assert put(staff, personKey="ines").status == 200
    assert claimed(staff, both) == [person(staff, other)]


def test_nobody_becomes_somebody_else_while_their_time_is_being_changed(staff: Staff) -> None:
    assert staff.functions.call("book", sample("book/hold"))["statusCode"] == 201
    assert put(staff, personKey="ines").slug == "person-changing"
    staff.functions.clock.advance(minutes=11)
    answer = put(staff, personKey="ines")  # The hold is over, and what it claimed is in nobody's way.
    assert answer.status == 200, answer.said
    assert staff.functions.rows("select 1 from time_claims") == []
    assert put(staff).status == 200
    visit = json.loads(staff.functions.call("book", sample("book/book"))["body"])
    staff.functions.execute("update ehr_writes set state = 'unknown'")
    refused = put(staff, personKey="ines")
    assert (refused.status, refused.slug) == (409, "person-changing")
    staff.functions.execute("update ehr_writes set state = 'confirmed'")
    assert put(staff, personKey="ines").status == 200
    assert claimed(staff, UUID(visit["appointmentId"])) == [person(staff, INES)]


def test_a_booking_that_knew_somebody_as_they_are_no_more_does_not_go_through(staff: Staff) -> None:
    with staff.functions.begin() as booking:
        counter = Counter(booking, NOON)
        wish = SlotWish(PAYER, SERVICE_ID, TEN, "UT", provider_id=INES)
        ground = counter.ground(wish)
        assert counter.take(ground, wish).claims()[0].resource_id == INES
        booking.execute(sa.update(t.providers).where(t.providers.c.id == INES).values(person_key="ines"))
        with pytest.raises(SlotTaken):
            counter.take(ground, wish)
        assert Availability(booking).facts(PAYER, SERVICE_ID, NOON).providers[INES].person_id != INES
        fresh = counter.ground(wish)
        assert counter.take(fresh, wish).claims()[0].resource_id == fresh.inquiry.facts.providers[INES].person_id
        booking.execute(sa.update(t.providers).where(t.providers.c.id == INES).values(active=False))
        with pytest.raises(SlotTaken):  # Who has stopped meanwhile gives no visit that nobody was told of.
            counter.take(fresh, wish)
