"""What an account has set up, as each adapter reads it from its vendor's simulator."""

from __future__ import annotations

from typing import Any

import pytest

from moonlit.ehr.catalog import EhrCatalog, EhrLocation, EhrPractitioner, EhrService, EhrSettings
from moonlit.ehr.port import BudgetExhausted, Ehr, EhrRefused, EhrUnavailable, Lane
from tests.fixtures_athena import DEPARTMENT, EASTERN_DEPARTMENT, OTHER_PROVIDER, PROVIDER
from tests.fixtures_intakeq import (
    OTHER_PRACTITIONER,
    PRACTITIONER,
    SERVICE,
    SHORT_SERVICE,
    MovableClock,
    OpenIntakeq,
    StartIntakeq,
    make_account,
)
from tests.integration.ehr.conftest import ServeAthena
from tests.integration.ehr.sites import AthenaSite, Site

SEATS = [(PROVIDER, DEPARTMENT)]


def catalog(ehr: Ehr, seats: list[tuple[str, str]] | None = None) -> EhrSettings:
    assert isinstance(ehr, EhrCatalog)
    return ehr.catalog(SEATS if seats is None else seats, Lane.ON_DEMAND)


def test_each_ehr_tells_what_it_has_now_in_the_lane_that_asks(site: Site) -> None:
    settings = catalog(site.ehr)
    everything: list[Any] = [*(settings.services or ()), *settings.practitioners, *settings.locations]
    assert site.free.ehr_service_id in {each.external_id for each in settings.services or ()}
    assert site.practitioner_id in {each.external_id for each in settings.practitioners if each.is_active}
    assert site.free.location_id in {each.external_id for each in settings.locations}
    assert all(isinstance(each.external_id, str) and each.name for each in everything)
    assert set(site.budget.taken) == {Lane.ON_DEMAND}
    assert len(site.budget.taken) == len(site.server.requests()) == {"intakeq": 2, "athena": 3}[site.name]
    assert set(site.sent()) == {"GET"}


@pytest.mark.parametrize("kind", ["error_before", "html_after", "drop_after"])
def test_trouble_is_told_in_the_ports_words(site: Site, kind: str) -> None:
    site.server.fail({"kind": kind, "times": 9})
    with pytest.raises(EhrUnavailable):
        catalog(site.ehr)


def test_no_request_is_sent_without_room_in_the_budget(site: Site) -> None:
    class Spent:
        def take(self, lane: Lane) -> None:  # noqa: ARG002
            raise BudgetExhausted(7)

        def back_off(self, seconds: float) -> None: ...

    with pytest.raises(BudgetExhausted):
        catalog(site.open(Spent()))
    assert site.server.requests() == []


# ── IntakeQ ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_intakeq_is_asked_anew_and_tells_who_is_not_active(
    start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq
) -> None:
    gone = {"Id": "6651f0a9c3d2e4b5a6978899", "CompleteName": "Ada Lindqvist"}
    server = start_intakeq(make_account(inactive_practitioners=[gone]), MovableClock())
    ehr = open_intakeq(server)
    assert catalog(ehr) == EhrSettings(
        [EhrService(SERVICE, "New Patient Visit", 60), EhrService(SHORT_SERVICE, "Follow-up Short", 30)],
        [
            EhrPractitioner(PRACTITIONER, "Ines Okafor"),
            EhrPractitioner(OTHER_PRACTITIONER, "Emil Varga"),
            EhrPractitioner(gone["Id"], "Ada Lindqvist", is_active=False),
        ],
        [EhrLocation("4", "Telehealth (UT)"), EhrLocation("7", "Main Street Clinic")],
    )
    services = [{"Id": SERVICE, "Name": "Intake", "Duration": 45.0}, {"Id": 17, "Name": None, "Duration": "long"}]
    server.control("POST", "settings", {"Services": services})
    assert catalog(ehr).services == [EhrService(SERVICE, "Intake", 45), EhrService("17", None, None)]


@pytest.mark.parametrize(
    "settings",
    [
        {"Services": None},
        {"Services": [{"Name": "No id"}]},
        {"Locations": [{"Id": "4", "Name": "\x00"}]},
        {"Practitioners": ["Ines"]},
    ],
)
def test_settings_that_make_no_sense_are_refused_and_not_taken_for_missing_ones(
    start_intakeq: StartIntakeq, open_intakeq: OpenIntakeq, settings: dict[str, Any]
) -> None:
    server = start_intakeq(make_account(), MovableClock())
    server.control("POST", "settings", settings)
    with pytest.raises(EhrRefused) as refused:
        catalog(open_intakeq(server))
    assert refused.value.code == "unreadable"


# ── athenahealth ──────────────────────────────────────────────────────────────────────────────────────────────────────


def reasons(site: AthenaSite, *seats: tuple[str, str]) -> list[str] | None:
    services = catalog(site.ehr, list(seats)).services
    return None if services is None else sorted(each.external_id for each in services)


def test_athenahealth_tells_reasons_by_seat(serve_athena: ServeAthena) -> None:
    everywhere = {"reasonid": 1, "reason": "Everywhere"}
    here = {"reasonid": 2, "reason": "Here", "departmentids": [DEPARTMENT], "providerids": [PROVIDER]}
    site = serve_athena(reasons=[everywhere, here])
    first, second = (PROVIDER, DEPARTMENT), (OTHER_PROVIDER, EASTERN_DEPARTMENT)
    assert reasons(site, second) == ["1"]
    assert reasons(site, first) == ["1", "2"]
    site.budget.taken.clear()
    assert reasons(site, first, second, first) == ["1", "2"]
    assert len(site.budget.taken) == 4
    # Seats that the practice does not know are not asked for, and nothing is concluded from them.
    assert reasons(site, ("999", DEPARTMENT), second) == ["1"]
    assert reasons(site, ("999", DEPARTMENT), (PROVIDER, "999")) is None
    assert reasons(site) is None
