"""The person on a public form: linked to a patient only when everything agrees, else a new record.

A form is not proof of who fills it in. It never changes a stored patient, and the answer never tells which happened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4, uuid5

import sqlalchemy as sa

from moonlit.db.tables import appointments, patients

_IDENTITIES = UUID("5b2a7c0e-6d0f-4c53-9a5e-1f7f0a3c8d11")


@dataclass(frozen=True, slots=True)
class PatientForm:
    """What the patient typed; `zone` is the zone they want times in."""

    first_name: str
    last_name: str
    date_of_birth: date
    email: str
    phone: str
    state: str
    zone: str | None

    @property
    def lock_id(self) -> UUID:
        """Return what bookings for the same name and birth date queue on, before a patient row exists."""
        return uuid5(_IDENTITIES, f"{_folded(self.first_name)}|{_folded(self.last_name)}|{self.date_of_birth}")


@dataclass(frozen=True, slots=True)
class Patient:
    """A stored patient as booking needs it; the last two are the patient's ids in the EHRs."""

    id: UUID
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    date_of_birth: date | None
    intakeq_client_id: str | None
    athena_patient_id: str | None

    def client_id(self, system: str) -> str | None:
        """Return the patient's id in that EHR, None when it is not known."""
        known: str | None = getattr(self, _CLIENT_ID[system])
        return known


_CLIENT_ID = {"intakeq": "intakeq_client_id", "athena": "athena_patient_id"}
_COLUMNS = [patients.c[name] for name in Patient.__dataclass_fields__]


class Patients:
    """The patients as one transaction sees them. It never commits."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def matching(self, form: PatientForm) -> Patient | None:
        """Return the one patient with this name, birth date, and e-mail or phone; None for none or several."""
        rows = self._connection.execute(
            sa.select(*_COLUMNS, patients.c.alternate_emails).where(
                patients.c.date_of_birth == form.date_of_birth,
                sa.func.lower(sa.func.btrim(patients.c.last_name)) == form.last_name.strip().lower(),
            )
        ).all()
        found = [
            Patient(*row[:-1])
            for row in rows
            if _folded(row.first_name) == _folded(form.first_name)
            and (
                _folded(form.email) in map(_folded, [row.email or "", *row.alternate_emails])
                or digits(form.phone) == digits(row.phone or "")
            )
        ]
        return found[0] if len(found) == 1 else None

    def add(self, form: PatientForm) -> Patient:
        """Store a new patient."""
        patient = Patient(
            id=uuid4(),
            first_name=form.first_name.strip(),
            last_name=form.last_name.strip(),
            email=form.email.strip(),
            phone=form.phone.strip(),
            date_of_birth=form.date_of_birth,
            intakeq_client_id=None,
            athena_patient_id=None,
        )
        values = {column.name: getattr(patient, column.name) for column in _COLUMNS}
        self._connection.execute(sa.insert(patients).values(**values, state=form.state, timezone=form.zone))
        return patient

    def of_appointment(self, appointment_id: UUID) -> Patient:
        """Return the patient of a visit that is known to exist."""
        query = sa.select(*_COLUMNS).join(appointments, appointments.c.patient_id == patients.c.id)
        return Patient(*self._connection.execute(query.where(appointments.c.id == appointment_id)).one())

    def learn_client_id(self, appointment_id: UUID, system: str, client_id: str) -> None:
        """Keep the EHR's id of the visit's patient who has none, unless another patient has it already."""
        others = patients.alias()  # An unaliased table would be taken for the one that is updated.
        column = _CLIENT_ID[system]
        taken = sa.select(others.c.id).where(others.c[column] == client_id)
        self._connection.execute(
            sa.update(patients)
            .where(patients.c.id == _patient_of(appointment_id), patients.c[column].is_(None), ~sa.exists(taken))
            .values({column: client_id})
        )

    def forget_client_id(self, appointment_id: UUID, system: str) -> None:
        """Drop the EHR's id of the visit's patient."""
        self._connection.execute(
            sa.update(patients).where(patients.c.id == _patient_of(appointment_id)).values({_CLIENT_ID[system]: None})
        )


def _patient_of(appointment_id: UUID) -> sa.ScalarSelect[UUID]:
    return sa.select(appointments.c.patient_id).where(appointments.c.id == appointment_id).scalar_subquery()


def digits(phone: str) -> str:
    """Return a phone number in the form in which two are compared: digits, without the country code of the US."""
    only = re.sub(r"\D", "", phone)
    return only[1:] if len(only) == 11 and only.startswith("1") else only  # noqa: PLR2004


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
