"""A live athenahealth simulator for any test: `start_athena()` serves an account, `server.token()` opens it.

Import the fixture into a conftest: `from tests.fixtures_athena import start_athena`.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from local.simulators.athena import make_app
from moonlit.clock import Clock
from tests.fixtures_intakeq import MovableClock, serving
from tests.simulator_server import SimulatorServer

PRACTICE = "195900"
CLIENT_ID, CLIENT_SECRET = "0oa1moonlit0demo0app", "made-up-secret-of-the-tests"
SCOPE = "athena/service/Athenanet.MDP.*"
DEPARTMENT, EASTERN_DEPARTMENT = "1", "2"
PROVIDER, OTHER_PROVIDER, SUPERVISOR = "71", "72", "12"
ANY_30, OFFICE_VISIT, NEW_PATIENT, FOLLOW_UP = "82", "83", "84", "85"
REASON, LONG_REASON, NOTICE_REASON = "962", "963", "964"
PATIENT, OTHER_PATIENT = "50341", "50342"
PACKAGE, OTHER_PACKAGE, SELF_PAY = "318", "319", "0"
CANCELLED, NO_SHOW, RESCHEDULED = "4", "5", "6"


def make_patient(patient_id: str = PATIENT, **fields: Any) -> dict[str, Any]:
    """Return a patient as an account file has them."""
    return {
        "patientid": patient_id,
        "firstname": "Dana",
        "lastname": "Whitlock",
        "dob": "05/23/1988",
        "email": "dana.whitlock@example.org",
        "mobilephone": "8015550142",
        "departmentid": DEPARTMENT,
        "status": "active",
    } | fields


def make_slot(number: int, starttime: str = "09:00", date: str = "03/15/2027", **fields: Any) -> dict[str, Any]:
    """Return an open slot as an account file has it: of the generic type of 30 minutes, at the first provider's."""
    return {
        "appointmentid": number,
        "providerid": PROVIDER,
        "departmentid": DEPARTMENT,
        "date": date,
        "starttime": starttime,
        "appointmenttypeid": ANY_30,
    } | fields


def make_appointment(number: int, starttime: str = "09:00", date: str = "03/15/2027", **fields: Any) -> dict[str, Any]:
    """Return a booked appointment as an account file has it."""
    return make_slot(number, starttime, date) | {"patientid": PATIENT, "appointmenttypeid": OFFICE_VISIT} | fields


def make_pattern(**fields: Any) -> dict[str, Any]:
    """Return a pattern of open slots: the first provider's mornings until the end of May, half an hour each."""
    return {
        "providerid": PROVIDER,
        "departmentid": DEPARTMENT,
        "startdate": "03/10/2027",
        "enddate": "05/31/2027",
        "from": "09:00",
        "to": "12:00",
        "appointmenttypeid": ANY_30,
    } | fields


def make_athena_account(**fields: Any) -> dict[str, Any]:
    """Return a small valid account file: two departments, two bookable providers, two patients, no slots.

    Department 1 is in Mountain time, 2 in Eastern. Reason 962 takes 30 minutes, 963 takes 60 (two generic slots), 964
    takes 30 with 72 hours' notice. Cancelling for reason 5 does not open the slot again. All changes are subscribed to.
    """
    return {
        "practice_id": PRACTICE,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "limits": {"per_day": 50_000, "token_per_minute": 5},
        "departments": [
            {"departmentid": DEPARTMENT, "name": "Harbor Street Clinic", "timezonename": "US/Mountain"},
            {"departmentid": EASTERN_DEPARTMENT, "name": "Telehealth East", "timezonename": "US/Eastern"},
        ],
        "providers": [
            {"providerid": 71, "firstname": "Ines", "lastname": "Okafor", "npi": 1234567893},
            {"providerid": 72, "firstname": "Emil", "lastname": "Varga", "npi": 1245319599},
            {"providerid": 12, "firstname": "Ada", "lastname": "Lindqvist", "npi": 1003000126},
        ],
        "appointmenttypes": [
            {"appointmenttypeid": 82, "name": "Any 30", "shortname": "ANY30", "duration": 30, "generic": True,
             "patient": False},
            {"appointmenttypeid": 83, "name": "Office Visit", "shortname": "OV", "duration": 30},
            {"appointmenttypeid": 84, "name": "New Patient", "shortname": "NEW", "duration": 60},
            {"appointmenttypeid": 85, "name": "Follow-up", "shortname": "FU", "duration": 30},
        ],
        "reasons": [
            {"reasonid": 962, "reason": "Follow-up", "reasontype": "existing", "appointmenttypeid": 83},
            {"reasonid": 963, "reason": "First visit", "reasontype": "new", "appointmenttypeid": 84},
            {"reasonid": 964, "reason": "Evaluation", "schedulingminhours": 72, "schedulingmaxdays": 30,
             "appointmenttypeid": 85},
        ],
        "cancelreasons": [
            {"appointmentcancelreasonid": 4, "name": "PATIENT CANCELLED"},
            {"appointmentcancelreasonid": 5, "name": "NO SHOW", "noshow": True, "slotavailable": False},
            {"appointmentcancelreasonid": 6, "name": "PATIENT RESCHEDULED", "patientrescheduled": True},
        ],
        "insurancepackages": [
            {"insurancepackageid": 318, "name": "Silver Mesa PPO"},
            {"insurancepackageid": 319, "name": "Desert Health HMO"},
        ],
        "patients": [
            make_patient(),
            make_patient(OTHER_PATIENT, firstname="Odalys", lastname="Brackenridge", dob="07/09/1987",
                         email="odalys@example.org", mobilephone="8015550177"),
        ],
        "subscription": {},
    } | fields  # fmt: skip


@dataclass(frozen=True)
class AthenaServer(SimulatorServer):
    """A running simulator. `base_url` is what ATHENA_BASE_URL would be, `api_url` has the practice too."""

    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    practice_id: str = PRACTICE
    base_url: str = field(init=False)
    api_url: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", self.url)
        object.__setattr__(self, "api_url", f"{self.url}/v1/{self.practice_id}")

    def token(self) -> str:
        """Fetch an access token, which counts as a token call."""
        login = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": SCOPE}).encode()
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/oauth2/v1/token", method="POST", data=form, headers={"Authorization": f"Basic {login}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return str(json.load(answer)["access_token"])

    def staff(self, action: str, **rest: Any) -> dict[str, Any]:
        """Do what the practice's staff may do: book, cancel, move, freeze and so on; see docs/athena-account.md."""
        return dict(self.control("POST", "staff", {"action": action, **rest}))

    def appointment(self, appointment_id: object) -> dict[str, Any]:
        """Return one appointment or slot of the state by its id."""
        rows = self.state()["appointments"]
        return next(dict(row) for row in rows if row["appointmentid"] == str(appointment_id))

    def settings(self, **changed: Any) -> None:
        """Change settings, grants or limits of the running account by their names."""
        self.control("POST", "settings", changed)

    def expire_tokens(self) -> None:
        """Let every token given out so far die."""
        self.control("DELETE", "tokens")


@contextmanager
def athena_server(account: dict[str, Any], clock: Clock) -> Iterator[AthenaServer]:
    """Serve an account by a clock."""
    with serving(make_app(account, clock)) as url:
        yield AthenaServer(url, clock, account["client_id"], account["client_secret"], str(account["practice_id"]))


class StartAthena(Protocol):
    """Starts simulators that stop with the test; a small account and a clock at `NOON` unless told otherwise."""

    def __call__(self, account: dict[str, Any] | None = None, clock: Clock | None = None) -> AthenaServer: ...


@pytest.fixture
def start_athena() -> Iterator[StartAthena]:
    with ExitStack() as servers:

        def start(account: dict[str, Any] | None = None, clock: Clock | None = None) -> AthenaServer:
            return servers.enter_context(athena_server(account or make_athena_account(), clock or MovableClock()))

        yield start
