"""athenahealth's event subscriptions: what a delivery says, and that it was athenahealth who said it.

A delivery is a FHIR Bundle with any number of notifications. They name appointments by their ids and say nothing else
about them: whoever wants to know more reads the appointment.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from moonlit.ehr.port import EhrRefused
from moonlit.ehr.rows import json_of, storable_id

_SIGNED = "sha256="
_FOCUS = re.compile(r"urn:athenahealth:athenanet:([A-Za-z-]{1,40}):([A-Za-z0-9._-]{1,64})", re.ASCII)
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing that happened.

    Attributes:
        key: The same whenever this is delivered again: of the vendor's id, else of the whole.
        kind: `appointment`; `other`, which is of no use here; `unreadable`.
        appointment_id: Of an appointment.
        practice_id: Whose appointment.
        raw: The notification's JSON.
    """

    key: str
    kind: Literal["appointment", "other", "unreadable"]
    raw: bytes
    appointment_id: str | None = None
    practice_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was delivered at once; `topic` is the vendor's word for what the notifications have in common."""

    topic: str | None
    notifications: Sequence[Notification]


def is_signed(body: bytes, signature: str | None, secrets: Collection[str]) -> bool:
    """Tell whether the bytes are signed with one of the secrets, in a time that tells nothing of these."""
    given = (signature or "").encode(errors="surrogatepass")
    fits = [hmac.compare_digest(given, signature_of(body, secret).encode()) for secret in secrets]
    return any(fits)


def signature_of(body: bytes, secret: str) -> str:
    """Return what the header of a delivery has to say."""
    return _SIGNED + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def delivery_of(body: bytes) -> Delivery:
    """Read a delivery.

    Raises:
        EhrRefused: `unreadable`; nothing of the body is quoted.
    """
    status = _status(json_of(body))
    found = status.get("notificationEvent")
    if not isinstance(found, list | None):
        raise EhrRefused("unreadable")
    topic = status.get("topic")
    name = topic.rpartition("/")[2] if isinstance(topic, str) else ""
    is_name = name.isprintable() and 0 < len(name) <= _LONGEST_NAME
    return Delivery(name if is_name else None, [_notification(each) for each in found or ()])


def appointment_of(row: bytes) -> tuple[str, str | None]:
    """Return the ids of the appointment and its patient from a row of the feed of changes.

    Raises:
        EhrRefused: `unreadable`: it does not say which appointment it is about.
    """
    said = json_of(row)
    ids = said if isinstance(said, dict) else {}
    external_id = storable_id(str(ids.get("appointmentid")))
    if external_id is None or ids.get("appointmentid") is None:
        raise EhrRefused("unreadable")
    return external_id, storable_id(str(ids.get("patientid") or ""))


def _status(said: Any) -> Mapping[str, Any]:
    """Return the status that stands first in the bundle."""
    match said:
        case {
            "resourceType": "Bundle",
            "type": "history",
            "entry": [{"resource": {"resourceType": "SubscriptionStatus"} as status}, *_],
        }:
            return dict(status)
    raise EhrRefused("unreadable")


def _notification(said: Any) -> Notification:
    raw = json.dumps(said, separators=(",", ":")).encode()
    match said:
        case {"focus": {"identifier": {"system": str(system), "value": str() | int() as value}}}:
            found, appointment_id = _FOCUS.fullmatch(system), storable_id(str(value))
        case _:
            found = appointment_id = None
    key = hashlib.sha256(raw).hexdigest()
    if found is None or appointment_id is None:
        return Notification(key, "unreadable", raw)
    if isinstance(said.get("id"), str | int):
        key = hashlib.sha256(f"notification {said['id']}".encode(errors="surrogatepass")).hexdigest()
    if found[1] != "appointment":
        return Notification(key, "other", raw)
    return Notification(key, "appointment", raw, appointment_id, found[2])
