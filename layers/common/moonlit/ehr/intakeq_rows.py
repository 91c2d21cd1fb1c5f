"""IntakeQ's JSON as it really comes, read into the port's words.

Tolerant of the forms that one field comes in, strict about what a visit cannot be without: its id, times and version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from moonlit.ehr.insurance_fields import insurance_in
from moonlit.ehr.port import ClientDetails, EhrRefused, EhrVisit
from moonlit.ehr.rows import PersonRow, VendorRow, hash_of, name_key, refuse_unstorable
from moonlit.observability import logger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_STATUSES = {
    "WaitingConfirmation": "scheduled",
    "Confirmed": "confirmed",
    "Canceled": "cancelled",
    "Cancelled": "cancelled",
    "Declined": "declined",
    "Missed": "no_show",
}


class _AppointmentRow(VendorRow):
    external_id: str = Field(alias="Id", min_length=1)
    client_id: str | None = Field(default=None, alias="ClientId")
    client_email: str | None = Field(default=None, alias="ClientEmail")
    client_birth_date: Any = Field(default=None, alias="ClientDateOfBirth")
    practitioner_id: str | None = Field(default=None, alias="PractitionerId")
    service_id: str | None = Field(default=None, alias="ServiceId")
    status: Any = Field(default=None, alias="Status")
    start: float = Field(alias="StartDate", allow_inf_nan=False)
    end: float = Field(alias="EndDate", allow_inf_nan=False)
    modified: float = Field(alias="LastModified", allow_inf_nan=False)
    created: float | None = Field(default=None, alias="DateCreated", allow_inf_nan=False)
    location_name: str | None = Field(default=None, validation_alias=AliasChoices("LocationName", "Location"))
    place_of_service: str | None = Field(default=None, alias="PlaceOfService")
    telehealth: Any = Field(default=None, alias="TelehealthInfo")


class ClientRow(PersonRow):
    """A client profile: the patient as IntakeQ knows them."""

    client_id: str = Field(validation_alias=AliasChoices("ClientId", "ClientNumber"), min_length=1)
    first_name: str | None = Field(default=None, alias="FirstName")
    last_name: str | None = Field(default=None, alias="LastName")
    email: str | None = Field(default=None, alias="Email")
    phone: str | None = Field(default=None, alias="Phone")
    mobile_phone: str | None = Field(default=None, alias="MobilePhone")
    home_phone: str | None = Field(default=None, alias="HomePhone")
    work_phone: str | None = Field(default=None, alias="WorkPhone")
    birth_date: Any = Field(default=None, alias="DateOfBirth")

    def shared_contacts(self, details: ClientDetails) -> set[str]:
        """Return by which of `email` and `phone` IntakeQ would merge `details` into this client."""
        if name_key(self.first_name) != name_key(details.first_name):
            return set()
        shared = {"email": self.has_email_of(details), "phone": self.has_phone_of(details)}
        return {contact for contact, agrees in shared.items() if agrees}

    def born(self) -> date | None:
        """Return the birth date."""
        return birth_date_of(self.birth_date)

    def phones(self) -> Sequence[str | None]:
        """Return every number, as it was typed."""
        return self.phone, self.mobile_phone, self.home_phone, self.work_phone


class _Place(VendorRow):
    place_id: str = Field(alias="Id")


class _Practitioner(VendorRow):
    practitioner_id: str = Field(alias="Id")
    email: str | None = Field(default=None, alias="Email")


class SettingsRow(VendorRow):
    """The account's places and practitioners; the vendor's own sample misspells the first key."""

    locations: list[_Place] = Field(validation_alias=AliasChoices("Locations", "Locatons"))
    practitioners: list[_Practitioner] = Field(default=[], alias="Practitioners")

    def email_of(self, practitioner_id: str) -> str | None:
        """Return the address of a practitioner's account, None when it is not known."""
        return next((p.email for p in self.practitioners if p.practitioner_id == practitioner_id), None)


_APPOINTMENT = TypeAdapter(_AppointmentRow)
_CLIENT = TypeAdapter(ClientRow)


def visit_of(row: Mapping[str, Any]) -> EhrVisit:
    """Read an appointment, from a list, by its id or out of a webhook.

    Raises:
        EhrRefused: `unreadable`; nothing of the row is quoted.
    """
    try:
        parsed = _APPOINTMENT.validate_python(row)
        starts_at, ends_at, modified_at = (_instant(ms) for ms in (parsed.start, parsed.end, parsed.modified))
        created_at = None if parsed.created is None else _instant(parsed.created)
        refuse_unstorable(row)
    except (ValidationError, OverflowError, ValueError):
        raise EhrRefused("unreadable") from None
    if ends_at <= starts_at:
        raise EhrRefused("unreadable")
    parts: dict[str, Any] = {
        "client_id": parsed.client_id,
        "client_email": parsed.client_email or None,
        "client_birth_date": birth_date_of(parsed.client_birth_date),
        "practitioner_id": parsed.practitioner_id or None,
        "ehr_service_id": parsed.service_id or None,
        "status": _status(parsed),
        "meeting_url": _patient_link(parsed.telehealth),
        "location_name": parsed.location_name,
        "place_of_service": parsed.place_of_service,
    }
    return EhrVisit(
        external_id=parsed.external_id,
        starts_at=starts_at,
        ends_at=ends_at,
        modified_at=modified_at,
        created_at=created_at,
        content_hash=_content_hash(parsed, parts, row),
        raw=row,
        insurance=insurance_in(_custom_answers(row.get("CustomFields"))),
        **parts,
    )


def client_of(row: Any) -> ClientRow:
    """Read a client profile.

    Raises:
        EhrRefused: `unreadable`.
    """
    try:
        return _CLIENT.validate_python(row)
    except ValidationError:
        raise EhrRefused("unreadable") from None


def settings_of(row: Any) -> SettingsRow:
    """Read the account's settings.

    Raises:
        EhrRefused: `unreadable`.
    """
    try:
        return SettingsRow.model_validate(row)
    except ValidationError:
        raise EhrRefused("unreadable") from None


def client_body(details: ClientDetails) -> dict[str, Any]:
    """Return what POST /clients takes; a birth date sent as text would be stored as nothing."""
    birth = details.birth_date
    midnight = datetime(birth.year, birth.month, birth.day, tzinfo=UTC) if birth else None
    body = {
        "FirstName": details.first_name,
        "LastName": details.last_name,
        "Email": details.email,
        "Phone": details.phone,
        "DateOfBirth": epoch_ms(midnight) if midnight else None,
        "ExternalClientId": details.reference,
    }
    return {field: value for field, value in body.items() if value is not None}


def epoch_ms(instant: datetime) -> int:
    """Return the instant as IntakeQ writes it."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def birth_date_of(value: Any) -> date | None:
    """Read a birth date: `yyyy-MM-dd` with or without a time, or epoch milliseconds; None when it is neither.

    A birth date that makes no sense must not hide the visit, whose time is taken all the same.
    """
    try:
        if isinstance(value, str):
            return date.fromisoformat(value[:10])
        return _instant(value).date() if value is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def _status(parsed: _AppointmentRow) -> str:
    """Translate the status; one that nobody has met keeps the time taken, since selling it twice is worse."""
    status = _STATUSES.get(str(parsed.status))
    if status is None:
        logger.warning("ehr_status_unknown", external_id=parsed.external_id)
    return status or "scheduled"


def _instant(milliseconds: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _patient_link(telehealth: Any) -> str | None:
    """Return the link a patient may use; `StartUrl` is the host's unless the provider is IntakeQ itself."""
    if not isinstance(telehealth, Mapping):
        return None
    own_room = str(telehealth.get("Provider")).casefold() == "intakeq"
    candidates = (telehealth.get("JoinUrl"), telehealth.get("Url"), telehealth.get("StartUrl") if own_room else None)
    links = (link for link in candidates if isinstance(link, str) and link.startswith(("https://", "http://")))
    return next(links, None)


def _custom_answers(fields: Any) -> Iterator[tuple[Any, Any]]:
    """Yield name and answer of each of the practice's own fields, which come in two shapes."""
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, Mapping):
            yield field.get("Text") or field.get("Name"), field.get("Value") or field.get("Answer")


def _content_hash(parsed: _AppointmentRow, parts: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    seen = {
        **parts,
        "times": (parsed.start, parsed.end, parsed.modified),
        "custom_fields": row.get("CustomFields") or [],
        "additional_clients": row.get("AdditionalClients") or [],
    }
    return hash_of(seen)
