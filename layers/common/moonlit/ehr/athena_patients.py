"""athenahealth's patients: found when they are surely the person, created otherwise, never taken for somebody else."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

from moonlit.ehr.athena_calls import Calls, only_row
from moonlit.ehr.athena_practice import Catalog
from moonlit.ehr.athena_rows import CreatedRow, PatientRow, day_text, parsed
from moonlit.ehr.port import ClientDetails, EhrOutcomeUnknown, EhrRefused, Lane
from moonlit.ehr.rows import phone_key

_LONGEST_FIRST_NAME, _LONGEST_LAST_NAME, _LONGEST_EMAIL = 20, 30, 50
_PHONE_DIGITS = 10
_MADE_UP = "4567890"


class Patients:
    """The patients of one practice."""

    def __init__(self, calls: Calls, catalog: Catalog) -> None:
        self._calls = calls
        self._catalog = catalog

    def client_for(self, details: ClientDetails, lane: Lane) -> str:
        """Return the id of the patient who is this person, else of a new one.

        The vendor's own matching is looser than ours, and creating somebody whom it takes for a known patient hands
        back that patient's id; it is made to say so, and the id is taken only for surely the same person.

        Raises:
            EhrRefused: `client_merged`: staff have to look who it is. `name_too_long`, `contact_missing`,
                `birth_date_missing`: athenahealth does not take such a patient.
        """
        person = _form_of(details)
        found = [parsed(PatientRow, row) for row in self._calls.array(_MATCH, lane, person | {_SEVERAL: "true"})]
        candidates = sorted({each.patient_id for each in found if each.is_surely(details)}, key=_age)
        for patient_id in candidates:  # The search may show who has been deleted or merged since.
            current = self._read(patient_id, lane)
            if current and current.is_bookable and current.is_surely(details):
                return current.patient_id
        return self._create(details, person, {each.patient_id for each in found}, lane)

    def sex_and_names(self, patient_id: str, lane: Lane) -> tuple[str, str, str]:
        """Return a patient's sex, M or F, and their names, as a policy wants them of its holder.

        Raises:
            EhrRefused: `sex_unknown`; `404` when there is no such patient.
        """
        patient = self._read(patient_id, lane)
        if patient is None:
            raise EhrRefused("404")
        if patient.sex not in ("M", "F"):
            raise EhrRefused("sex_unknown")
        return patient.sex, patient.first_name or "", patient.last_name or ""

    def _create(self, details: ClientDetails, person: dict[str, str], seen: Collection[str], lane: Lane) -> str:
        department = next(iter(self._catalog.department_ids(lane)), None)
        if department is None:
            raise EhrRefused("unreadable")
        form = person | {"departmentid": department, "showerrormessage": "true"}
        answer = self._calls.send("POST", "patients", lane, form)
        try:
            created = parsed(CreatedRow, only_row(answer))
        except EhrRefused:
            raise EhrOutcomeUnknown("answered a patient that makes no sense") from None
        if not created.patient_id and not created.message:
            raise EhrOutcomeUnknown("answered neither an id nor a reason")
        if created.patient_id and not created.message and created.patient_id not in seen:
            return created.patient_id
        known = self._read(created.patient_id, lane) if created.patient_id else None
        if known is None or not known.is_bookable or not known.is_surely(details):
            raise EhrRefused("client_merged")
        return known.patient_id

    def _read(self, patient_id: str, lane: Lane) -> PatientRow | None:
        row: Any = self._calls.one(f"patients/{quote(patient_id, safe='')}", lane)
        return None if row is None else parsed(PatientRow, row)


_MATCH, _SEVERAL = "patients/enhancedbestmatch", "returnbestmatches"


def _age(patient_id: str) -> tuple[int, str]:
    """Order ids by age: of several records of one person the first is taken, always the same."""
    return len(patient_id), patient_id


def _form_of(details: ClientDetails) -> dict[str, str]:
    """Return the fields that the search and the creation have in common.

    Nothing is cut: half a name is somebody else's. A contact that the vendor would refuse is left out.
    """
    if details.birth_date is None:
        raise EhrRefused("birth_date_missing")
    first_name, last_name = (" ".join(name.split()) for name in (details.first_name, details.last_name))
    if len(first_name) > _LONGEST_FIRST_NAME or len(last_name) > _LONGEST_LAST_NAME:
        raise EhrRefused("name_too_long")
    contacts = dict(_contacts(details))
    if not contacts:
        raise EhrRefused("contact_missing")
    return {"firstname": first_name, "lastname": last_name, "dob": day_text(details.birth_date), **contacts}


def _contacts(details: ClientDetails) -> Iterator[tuple[str, str]]:
    email, phone = (details.email or "").strip(), phone_key(details.phone)
    if 0 < len(email) <= _LONGEST_EMAIL:
        yield "email", email
    if is_phone(phone):
        yield "mobilephone", phone


def is_phone(digits: str) -> bool:
    """Tell whether the vendor takes ten digits for a number of the North American plan."""
    return (
        len(digits) == _PHONE_DIGITS
        and len(set(digits)) > 1
        and _MADE_UP not in digits
        and digits[1:3] != "11"
        and digits[0] not in "01"
        and digits[3] not in "01"
    )
