"""Whom applying a row makes wait: everybody whose time it is about, before and after it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.booking.claims import Claim, Claims
from moonlit.db import tables as t
from moonlit.db.engine import beginner, connect
from moonlit.sync.schedule import Schedule, Scope
from tests.fixtures_intakeq import NOON, make_account, make_visit
from tests.fixtures_sync import Practice, StartNight

START = NOON + timedelta(days=1)
QUEUE_FOR_ROOMS = UUID(int=0)
_FREE = "select pg_try_advisory_xact_lock(hashtextextended(cast(:id as text), 0))"


def _person(practice: Practice, provider_id: UUID) -> UUID:
    return UUID(str(practice.rows("select person_id from providers where id = :id", id=provider_id)[0]["person_id"]))


def test_everybody_whose_time_a_row_is_about_is_locked(
    practice: Practice, start_night: StartNight, database_url: str
) -> None:
    givers = [practice.provider(f"{number:024x}") for number in (7, 8)]
    location_id = practice.add(t.locations, name="Canyon", timezone="America/Denver", pos_code="11")
    room_id = practice.add(t.rooms, location_id=location_id, room_number="1", room_name="Aspen", capacity=2)
    patient_id, idle_id = practice.patient("1"), practice.patient("2")
    visit_id = practice.visit(
        patient_id, f"{1:024x}", start=START, provider_id=givers[0], rendering_provider_id=givers[1], room_id=room_id
    )
    claimed = uuid4()  # Of whoever gave the visit when the time was claimed.
    with practice.begin() as connection:
        Claims(connection).add(visit_id, [Claim("person", claimed, START, START + timedelta(hours=1))])
    night = start_night(
        make_account(appointments=[make_visit(1, START, ClientId=1, ClientEmail="client1@example.org")])
    )
    practice.nightly(night.ehr, night.meter).start("automated_daily")
    scope = Scope(practice.account_id, "intakeq", NOON, NOON + timedelta(days=30))
    wanted = {patient_id, *(_person(practice, each) for each in (practice.provider_id, *givers)), claimed, room_id}
    other = connect(database_url)
    with practice.begin() as connection:
        found = Schedule(connection, scope).lock([str(patient_id), str(idle_id)])
        assert {UUID(each) for each in found} == {*wanted, QUEUE_FOR_ROOMS}
        with beginner(other)() as rival:
            free = {each: rival.execute(sa.text(_FREE), {"id": str(each)}).scalar_one() for each in (*wanted, idle_id)}
    other.dispose()
    assert free == {**dict.fromkeys(wanted, False), idle_id: True}
