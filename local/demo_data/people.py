"""Forty patients and the EHR's clients, with what a correct system makes of each pair.

Most clients carry an id that the practice knows. The others are matched by address and birth date, or must not be.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from local.demo_data.ids import ZONE, in_days, uid
from local.demo_data.practice import ORGANIZATIONS

PATIENTS = 40
_FIRST_CLIENT = 7000
_FIRST_NAMES = (
    "Alma", "Bastian", "Calla", "Dmitri", "Eira", "Farid", "Ginny", "Hollis", "Ivo", "Juna",
    "Kofi", "Leda", "Milo", "Noor", "Orla", "Pax", "Quill", "Rosalind", "Soren", "Tansy",
)  # fmt: skip
_LAST_NAMES = (
    "Abelard", "Brightwater", "Crowhurst", "Dunmore-Vega", "Eastlake", "Farrow", "Greenhalgh", "Hawksworth",
    "Ibarra-Lund", "Jorgensen-Pike", "Kingsolver", "Lovelace-Ortiz", "Marchbanks",
)  # fmt: skip
_DESK = "front.desk@example.org"
_TWINS = "twins.household@example.org"


@dataclass(frozen=True, slots=True)
class Case:
    """How one patient's record differs from the plain one, and what the EHR shows of the same person.

    Attributes:
        email: The address in our records; None for the plain one.
        shown_email: The address in the EHR; None for the same.
        shown_birth_date: The birth date in the EHR; None for the same.
        same_birth_date_as: Another patient, born on the same day.
        matched: Whether the EHR's visits belong to the patient; else they go to people to review.
    """

    email: str | None = None
    alternate: str | None = None
    shown_email: str | None = None
    shown_birth_date: date | None = None
    same_birth_date_as: int | None = None
    matched: bool = True


# The patients whose EHR id the practice does not know.
WITHOUT_ID = {
    1: Case(email="calm.harbor@example.org", shown_email=" Calm.HARBOR@Example.org "),
    4: Case(email=" Mixed.Case@Example.ORG", shown_email="mixed.case@example.org"),
    7: Case(alternate="before.the.move@example.org", shown_email="before.the.move@example.org"),
    10: Case(email="ida.gray+care@example.org"),
    13: Case(email=_DESK),
    16: Case(email=_DESK),
    19: Case(email=_TWINS, matched=False),
    22: Case(email=_TWINS, same_birth_date_as=19, matched=False),
    25: Case(shown_birth_date=date(1991, 4, 30), matched=False),
    28: Case(),
    31: Case(),
}
# Known by id, though the EHR shows the address of somebody else.
_BORROWED_ADDRESS = {2: 5}
_PLUS_ADDRESS_OWNER = 10
# In two organizations, in none, and in one no longer.
_UNUSUAL_AFFILIATIONS = {12: [(0, "active"), (1, "active")], 14: [], 17: [(1, "ended")]}
# Every ninth patient's consent is missing, and every ninth one's ran out.
_CONSENTS = {4: ("missing", 200), 5: ("active", -2)}


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the EHR.

    Attributes:
        patient: The number of the patient whose visits these are; None when nobody's, or nobody's for sure.
    """

    number: int
    name: tuple[str, str]
    email: str
    birth_date: date | None
    patient: int | None
    known_by_id: bool

    @property
    def phone(self) -> str:
        """A number that nobody has."""
        return f"(801) 555-01{self.number % 100:02}"


def patient_id(number: int) -> str:
    """Return a patient's id in the clinic file."""
    return uid("patient", number)


def clients() -> list[Client]:
    """Return every client of the EHR account: the patients' own, then those of strangers."""
    return [*(_own(number) for number in range(PATIENTS)), *_strangers()]


def for_review() -> list[str]:
    """Return the patients whose visits people have to look at."""
    return sorted(patient_id(number) for number, case in WITHOUT_ID.items() if not case.matched)


def patient_tables() -> dict[str, list[dict[str, Any]]]:
    """Return the clinic file's patients and who looks after them."""
    return {
        "patients": [_patient(number) for number in range(PATIENTS)],
        "patient_organization_affiliations": _affiliations(),
    }


def organizations_of(number: int) -> list[tuple[int, str]]:
    """Return the organizations that look after a patient, with the status of each affiliation."""
    usual = [(number % len(ORGANIZATIONS), "active")]
    return _UNUSUAL_AFFILIATIONS.get(number, usual)


def _own(number: int) -> Client:
    case = WITHOUT_ID.get(number, Case())
    email = case.shown_email or (_email(_BORROWED_ADDRESS[number]) if number in _BORROWED_ADDRESS else _email(number))
    return Client(
        number=_FIRST_CLIENT + number,
        name=_name(number),
        email=email,
        birth_date=case.shown_birth_date or _birth_date(number),
        patient=number if case.matched else None,
        known_by_id=number not in WITHOUT_ID,
    )


def _strangers() -> list[Client]:
    """Return clients whom the practice does not know: some come close, by a part of an address or by a name."""
    owner = _PLUS_ADDRESS_OWNER
    near = [
        Client(8000, _name(owner), "ida.gray@example.org", _birth_date(owner), None, known_by_id=False),
        Client(8001, _name(28), "x" + _email(28), _birth_date(28), None, known_by_id=False),
        Client(8002, _name(31), "same.name@example.org", _birth_date(31), None, known_by_id=False),
        Client(8003, ("Nils", "Undated"), "nils.undated@example.org", None, None, known_by_id=False),
    ]
    far = [
        Client(
            8100 + n,
            (_FIRST_NAMES[n], "Stranger"),
            f"stranger{n}@example.org",
            date(1980, 1, 1 + n),
            None,
            known_by_id=False,
        )
        for n in range(6)
    ]
    return [*near, *far]


def _patient(number: int) -> dict[str, Any]:
    case = WITHOUT_ID.get(number, Case())
    first, last = _name(number)
    return {
        "id": patient_id(number), "first_name": first, "last_name": last, "email": _email(number),
        "alternate_emails": [case.alternate] if case.alternate else [], "phone": f"+180155501{number:02}",
        "date_of_birth": _birth_date(number).isoformat(), "state": "UT", "timezone": ZONE.key,
        "intakeq_client_id": None if number in WITHOUT_ID else str(_FIRST_CLIENT + number), "athena_patient_id": None,
    }  # fmt: skip


def _affiliations() -> list[dict[str, Any]]:
    consents = {number: _CONSENTS.get(number % 9, ("active", 200)) for number in range(PATIENTS)}
    return [
        {"id": uid("affiliation", number, organization), "patient_id": patient_id(number),
         "organization_id": uid("organization", organization),
         "case_manager_id": uid("partner user", organization, "case_manager"), "status": status,
         "roi_consent": consents[number][0], "roi_expires_on": in_days(consents[number][1]).isoformat()}
        for number in range(PATIENTS) for organization, status in organizations_of(number)
    ]  # fmt: skip


def _name(number: int) -> tuple[str, str]:
    return _FIRST_NAMES[number % len(_FIRST_NAMES)], _LAST_NAMES[(number * 5) % len(_LAST_NAMES)]


def _email(number: int) -> str:
    case = WITHOUT_ID.get(number, Case())
    first, last = _name(number)
    return case.email or f"{first}.{last}{number}@example.org".lower()


def _birth_date(number: int) -> date:
    same = WITHOUT_ID.get(number, Case()).same_birth_date_as
    return date(1958, 3, 1) + timedelta(days=331 * (number if same is None else same))
