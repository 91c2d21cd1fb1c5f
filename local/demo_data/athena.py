"""A small athenahealth account: open slots of two providers who are not the demo clinic's, and a few visits.

It lets the simulator run beside the story, which is told of the IntakeQ account and does not depend on this one.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from local.demo_data.ids import AS_OF, TODAY, hexed, text
from local.demo_data.practice import DEFAULTS

_DEPARTMENT, _TELEHEALTH_DEPARTMENT = "1", "2"
_PROVIDERS = ((90, "Selma", "Abernathy-Voss", 1992700005), (91, "Hugo", "Castellanos", 1992700013))
_GENERIC, _FIRST_TYPE, _FIRST_REASON = 82, 90, 900
_MONTHS = timedelta(days=120)


def athena_account() -> dict[str, Any]:
    """Return the account file, ready for the simulator."""
    return {
        "as_of": text(AS_OF),
        "practice_id": "195900",
        "client_id": hexed(20, "athena client"),
        "client_secret": hexed(40, "athena secret"),
        "limits": {"per_second": None, "per_day": 50_000, "token_per_minute": 5},
        "departments": [
            {"departmentid": _DEPARTMENT, "name": "Harbor Street Clinic", "timezonename": "US/Mountain"},
            {"departmentid": _TELEHEALTH_DEPARTMENT, "name": "Lakeside Telehealth", "timezonename": "US/Mountain"},
        ],
        "providers": [
            {"providerid": number, "firstname": first, "lastname": last, "npi": npi}
            for number, first, last, npi in _PROVIDERS
        ],
        "appointmenttypes": [
            {"appointmenttypeid": _GENERIC, "name": "Any 30", "duration": 30, "generic": True, "patient": False},
            *({"appointmenttypeid": _FIRST_TYPE + number, "name": service.name.strip(), "duration": service.minutes}
              for number, service in enumerate(DEFAULTS)),
        ],
        "reasons": [
            {"reasonid": _FIRST_REASON + number, "reason": service.name.strip(),
             "reasontype": "new" if service.kind == "intake" else "existing",
             "appointmenttypeid": _FIRST_TYPE + number}
            for number, service in enumerate(DEFAULTS)
        ],
        "cancelreasons": [
            {"appointmentcancelreasonid": 1, "name": "PATIENT CANCELLED"},
            {"appointmentcancelreasonid": 2, "name": "NO SHOW", "noshow": True, "slotavailable": False},
            {"appointmentcancelreasonid": 3, "name": "PATIENT RESCHEDULED", "patientrescheduled": True},
            {"appointmentcancelreasonid": 4, "name": "PROVIDER AWAY", "providerunavailable": True,
             "slotavailable": False},
        ],
        "insurancepackages": [
            {"insurancepackageid": 318, "name": "Silver Mesa PPO"},
            {"insurancepackageid": 319, "name": "Desert Health HMO"},
        ],
        "patterns": [
            _pattern(90, _DEPARTMENT, "09:00", "12:00"),
            _pattern(90, _DEPARTMENT, "13:00", "17:00"),
            _pattern(91, _TELEHEALTH_DEPARTMENT, "10:00", "14:00") | {"weekdays": [1, 3]},
        ],
        "patients": [
            {"patientid": 50341, "firstname": "Petronella", "lastname": "Ashgrove", "dob": "07/09/1987",
             "email": "petronella.ashgrove@example.org", "mobilephone": "8015550151", "departmentid": _DEPARTMENT},
        ],
        "appointments": [
            {"appointmentid": 1104880, "patientid": 50341, "providerid": 90, "departmentid": _DEPARTMENT,
             "date": _written(TODAY + timedelta(days=5)), "starttime": "08:30",
             "appointmenttypeid": _FIRST_TYPE + 1},
        ],
        "subscription": {},
    }  # fmt: skip


def _pattern(provider: int, department: str, begins: str, ends: str) -> dict[str, Any]:
    return {
        "providerid": provider, "departmentid": department, "appointmenttypeid": _GENERIC,
        "startdate": _written(TODAY), "enddate": _written(TODAY + _MONTHS), "from": begins, "to": ends,
    }  # fmt: skip


def _written(day: date) -> str:
    return f"{day:%m/%d/%Y}"
