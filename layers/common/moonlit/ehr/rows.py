"""What reading rows has in common whoever the vendor is: which text is storable, which people are the same."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict

from moonlit.ehr.port import ClientDetails, EhrRefused

_PHONE_DIGITS = 10  # Numbers are American; the country code comes and goes.
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DEEPEST = 50  # Levels of a vendor's JSON, which has five or six; PostgreSQL gives up at some thousands.


class VendorRow(BaseModel):
    """A vendor's row. Identifiers come as numbers or texts; an error never quotes what it was given."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True)


class PersonRow(VendorRow, ABC):
    """A patient as an EHR knows them."""

    first_name: str | None
    last_name: str | None
    email: str | None

    @abstractmethod
    def born(self) -> date | None:
        """Return the birth date, None when it is not known or makes no sense."""

    @abstractmethod
    def phones(self) -> Sequence[str | None]:
        """Return the numbers, however they are written."""

    def is_surely(self, details: ClientDetails) -> bool:
        """Say whether this is the person: names, birth date, and e-mail or phone agree. Unknown never agrees."""
        return (
            name_key(self.first_name) == name_key(details.first_name)
            and name_key(self.last_name) == name_key(details.last_name)
            and details.birth_date is not None
            and self.born() == details.birth_date
            and (self.has_email_of(details) or self.has_phone_of(details))
        )

    def has_email_of(self, details: ClientDetails) -> bool:
        """Say whether the e-mail addresses agree."""
        email = email_key(details.email)
        return bool(email) and email == email_key(self.email)

    def has_phone_of(self, details: ClientDetails) -> bool:
        """Say whether one of the numbers agrees."""
        phone = phone_key(details.phone)
        return bool(phone) and phone in map(phone_key, self.phones())


def shown_id(value: Any) -> str:
    """Return an id as it may be stored and logged; "" for what is none, whatever a row says there."""
    return (storable_id(str(value)) if isinstance(value, str | int) else None) or ""


def name_key(value: str | None) -> str:
    """Return the form in which names are compared."""
    return " ".join((value or "").split()).casefold()


def email_key(value: str | None) -> str:
    """Return the form in which addresses are compared."""
    return (value or "").strip().casefold()


def phone_key(value: str | None) -> str:
    """Return the form in which phone numbers are compared: ten digits at most."""
    return "".join(filter(str.isdecimal, value or ""))[-_PHONE_DIGITS:]


def refuse_unstorable(row: Mapping[str, Any]) -> None:
    """Raise ValueError for characters that PostgreSQL cannot store in JSON: NUL and halves of surrogate pairs."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    text.encode()
    if "\\u0000" in text:
        raise ValueError


def storable_id(text: str) -> str | None:
    """Return a vendor's id if it looks like one, None for anything else: it goes into logs, URLs and the database."""
    return text if _ID.fullmatch(text) else None


def json_of(body: bytes) -> Any:
    """Return the JSON that a webhook sent.

    Raises:
        EhrRefused: `unreadable`: it is none, or nested deeper than anything that makes sense.
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):  # Also a number of thousands of digits.
        raise EhrRefused("unreadable") from None
    level, depth = [said], 0
    while level := [child for node in level for child in _children(node)]:
        depth += 1
        if depth > _DEEPEST:
            raise EhrRefused("unreadable")
    return said


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def hash_of(seen: Mapping[str, Any]) -> str:
    """Return a hash that changes whenever one of the values does."""
    canonical = json.dumps(seen, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
