"""POST /clients: creating, updating, and the silent merge that makes both the same call."""

from __future__ import annotations

from typing import Any

from local.simulators.common.answers import Refused, Row
from local.simulators.intakeq.account import Account

_PHONES = ("Phone", "MobilePhone", "HomePhone", "WorkPhone")
_DATES = ("DateOfBirth", "PrimaryInsuranceHolderDateOfBirth", "SecondaryInsuranceHolderDateOfBirth")
# Known on a profile, but not to be written.
_KEPT = (
    "ClientId",
    "Name",
    "Tags",
    "DateCreated",
    "LastUpdateDate",
    "LastActivityDate",
    "LastActivityName",
    "Archived",
)


def save(account: Account, body: Row, now_ms: int) -> Row:
    """Create or update a client and return the profile.

    Without a `ClientId`, somebody with the same first name and e-mail, or first name and phone, is overwritten.
    Unknown fields, and dates that are not epoch milliseconds, are dropped without a word.

    Raises:
        Refused: A name is missing, or the `ClientId` is unknown.
    """
    if not body.get("FirstName") or not body.get("LastName"):
        raise Refused("Fields FirstName and LastName are mandatory.")
    row = _addressed(account, body) or account.new_client(now_ms)
    for field, value in body.items():
        if field in row and field not in _KEPT:
            row[field] = _stored(field, value)
    row |= {"Name": f"{row['FirstName']} {row['LastName']}", "LastUpdateDate": float(now_ms)}
    account.clients[str(row["ClientId"])] = row
    return row


def _addressed(account: Account, body: Row) -> Row | None:
    if body.get("ClientId") is None:
        return next((row for row in account.clients.values() if _would_merge(row, body)), None)
    row = account.clients.get(str(body["ClientId"]))
    if row is None:
        raise Refused("Client not found")
    return row


def _would_merge(row: Row, body: Row) -> bool:
    if _folded(row.get("FirstName")) != _folded(body["FirstName"]):
        return False
    email, phones = _folded(body.get("Email")), _numbers(body)
    return bool((email and email == _folded(row.get("Email"))) or (phones & _numbers(row)))


def _numbers(row: Row) -> set[str]:
    """Return a person's phone numbers by their last ten digits."""
    typed = ("".join(filter(str.isdecimal, str(row.get(field) or "")))[-10:] for field in _PHONES)
    return {number for number in typed if number}


def _stored(field: str, value: Any) -> Any:
    if field in _DATES and (isinstance(value, bool) or not isinstance(value, int | float)):
        return None
    return value


def _folded(value: Any) -> str:
    return str(value or "").strip().casefold()
