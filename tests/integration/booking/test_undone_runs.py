"""A run of provisioning is undone while somebody books, moves or syncs what it made: no 5xx, and nothing is left over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from moonlit.booking.errors import BookingRefused
from moonlit.booking.offer import Counter
from moonlit.db.engine import beginner, connect
from moonlit.provisioning.answers import RunShown
from moonlit.provisioning.errors import RunTouched
from tests.fixtures_booking import INSTANCE, SERVICE_ID, TEN, Office, wanted
from tests.fixtures_ehrs import HOUR, REASON
from tests.fixtures_house import House
from tests.fixtures_intakeq import SERVICE
from tests.integration.provisioning.clinics import Found


@pytest.fixture
def admin(office: Office, app_url: str) -> Iterator[Found]:
    """Return who provisions the office, on a connection of their own."""
    yield from provisioning(app_url, office)


@pytest.fixture
def admin_of_house(house: House, app_url: str) -> Iterator[Found]:
    """Return who provisions the house, on a connection of their own."""
    yield from provisioning(app_url, house)


def provisioning(url: str, office: Office) -> Iterator[Found]:
    engine = connect(url)
    yield Found(beginner(engine), office.clock)
    engine.dispose()


def made(admin: Found, location: str, mappings: dict[str, str]) -> RunShown:
    """Give every payer the intake at a place, and return the run."""
    default = {
        "name": "Intake",
        "service_id": str(SERVICE_ID),
        "location": location,
        "pos_code": "10",
        "required": True,
        "mappings": mappings,
    }
    admin.execute("update practice_settings set default_services = cast(:rows as jsonb)", rows=json.dumps([default]))
    return admin.run("apply", "all")


def once_in_line(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Have something happen right after a booking has read what it is to refer to."""
    queue = Counter.queue

    def interrupted(counter: Counter, *given: Any) -> None:
        monkeypatch.setattr(Counter, "queue", queue)
        work()
        queue(counter, *given)

    monkeypatch.setattr(Counter, "queue", interrupted)


def test_who_books_what_is_undone_meanwhile_is_told_that_it_is_not_to_be_had(
    office: Office, admin: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.execute("delete from service_instance_integrations")
    office.execute("delete from service_instances")
    run = made(admin, "Telehealth", {"intakeq": SERVICE})
    once_in_line(monkeypatch, lambda: admin.undo(run.run_id))
    with pytest.raises(BookingRefused):
        office.accept(wanted())
    assert office.rows("select id from appointments") == office.rows("select id from service_instances") == []


def test_who_books_what_was_made_twice_gets_the_other_one(
    office: Office, admin: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(admin, "Annex", {"intakeq": SERVICE})
    office.execute("update service_instances set retired_at = now(), retired_reason = 'x' where id = :id", id=INSTANCE)

    def undone() -> None:
        office_again = "update service_instances set retired_at = null, retired_reason = null where id = :id"
        admin.execute(office_again, id=INSTANCE)
        admin.undo(run.run_id)

    once_in_line(monkeypatch, undone)
    assert office.visit(office.accept(wanted()))["service_instance_id"] == INSTANCE


@pytest.mark.parametrize("side", ["athena"], indirect=True)
def test_where_a_visit_may_have_to_go_back_to_is_not_undone(house: House, admin_of_house: Found) -> None:
    house.execute("delete from service_instance_integrations where system = 'athena'")
    run = made(admin_of_house, "Annex", {"athena": REASON})
    booked = house.book()
    house.other_side.fail("book", "drop_before", times=None)
    house.move(booked.appointment_id, TEN + 3 * HOUR, house.other_side.provider)
    assert house.visit(booked.appointment_id)["service_instance_id"] == INSTANCE
    with pytest.raises(RunTouched) as refused:
        admin_of_house.undo(run.run_id)
    house.settle()
    visit = house.visit(booked.appointment_id)
    assert (visit["status"], visit["start"]) == ("confirmed", TEN)
    assert refused.value.extra["touched"] == [str(visit["service_instance_id"])]
