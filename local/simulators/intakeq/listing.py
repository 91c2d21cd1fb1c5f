"""GET /appointments and GET /clients: which rows, in which order, with which fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from local.simulators.common.answers import Row
from local.simulators.intakeq.account import Account
from local.simulators.intakeq.wire import day_parameter, midnight_ms

_PAGE_ROWS = 100
_DAY = timedelta(days=1)
_TRUE = ("true", "1")
# What only a read of one visit shows.
_SINGLE_ONLY: Row = {"Procedures": [], "AppointmentPackageId": None, "AppointmentPackageName": None}

type Parameters = Mapping[str, str]
"""A query whose names are in lower case: the vendor does not mind their case."""


def list_row(row: Row) -> Row:
    """Return a visit as lists and webhooks show it."""
    return {field: value for field, value in row.items() if field not in _SINGLE_ONLY}


def single_row(row: Row) -> Row:
    """Return a visit as a read by its id shows it."""
    return _SINGLE_ONLY | row


def page_of(rows: list[Row], parameters: Parameters) -> list[Row]:
    """Return the page asked for, the first when none was."""
    text = parameters.get("page", "1")
    page = max(1, int(text)) if text.isdecimal() else 1
    return rows[(page - 1) * _PAGE_ROWS : page * _PAGE_ROWS]


def appointments(account: Account, parameters: Parameters, now_ms: int) -> list[Row]:
    """Return every visit that fits the query, the latest start first.

    Raises:
        Refused: A date is no date.
    """
    is_deleted = parameters.get("deletedonly", "").lower() in _TRUE
    rows = account.kept_deleted(now_ms) if is_deleted else account.appointments.values()
    tests = [
        _contains(("ClientName", "ClientEmail"), parameters.get("client", "")),
        _equals("Status", parameters.get("status", "")),
        _equals("PractitionerEmail", parameters.get("practitioneremail", "")),
        *_days(account, parameters, "StartDate", "startdate", "enddate"),
        *_days(account, parameters, "LastModified", "updatedsince", None),
    ]
    return sorted(_fitting(rows, tests), key=lambda row: (-row["StartDate"], row["Id"]))


def clients(account: Account, parameters: Parameters) -> list[Row]:
    """Return every client that fits the query, by name.

    Raises:
        Refused: A date is no date.
    """
    if parameters.get("deletedonly", "").lower() in _TRUE:
        return []  # Clients cannot be deleted here.
    search = parameters.get("search", "").strip()
    by_number = search.isdecimal() and search in account.clients
    tests = [
        (lambda row: str(row["ClientId"]) == search) if by_number else _contains(("Name", "Email"), search),
        _equals("ExternalClientId", parameters.get("externalclientid", "")),
        *_days(account, parameters, "DateCreated", "datecreatedstart", "datecreatedend"),
        *_days(account, parameters, "LastUpdateDate", "dateupdatedstart", "dateupdatedend"),
        *(_custom(name, value) for name, value in parameters.items() if name.startswith("custom")),
    ]
    return sorted(
        _fitting(account.clients.values(), tests), key=lambda row: (str(row["Name"]).casefold(), row["ClientId"])
    )


def client_row(row: Row, parameters: Parameters) -> Row:
    """Return a client as a list shows them: a profile on request, else four fields and the number as text."""
    if parameters.get("includeprofile", "").lower() in _TRUE:
        return row
    return {"Name": row["Name"], "Email": row["Email"], "Phone": row["Phone"], "ClientNumber": str(row["ClientId"])}


type _Test = Callable[[Row], bool]


def _fitting(rows: Iterable[Row], tests: list[_Test]) -> list[Row]:
    return [row for row in rows if all(test(row) for test in tests)]


def _contains(fields: tuple[str, ...], part: str) -> _Test:
    wanted = part.strip().casefold()
    return lambda row: not wanted or any(wanted in str(row.get(field) or "").casefold() for field in fields)


def _equals(field: str, value: str) -> _Test:
    wanted = value.strip().casefold()
    return lambda row: not wanted or str(row.get(field) or "").casefold() == wanted


def _custom(name: str, value: str) -> _Test:
    """Test one custom field: `custom.<id>` or, in older libraries, `custom[<id>]`."""
    field_id = name.removeprefix("custom").strip(".[]")

    def fits(row: Row) -> bool:
        fields: list[Row] = row["CustomFields"]
        return any(str(field.get("FieldId")).casefold() == field_id and field.get("Value") == value for field in fields)

    return fits


def _days(account: Account, parameters: Parameters, field: str, after: str, before: str | None) -> list[_Test]:
    """Test an instant by the account's local days; whether the days named count themselves depends on the account."""
    first = day_parameter(parameters.get(after))
    last = day_parameter(parameters.get(before)) if before else None
    counts_itself = account.bounds_are_inclusive
    tests: list[_Test] = []
    if first:
        opens = midnight_ms(first if counts_itself else first + _DAY, account.zone)
        tests.append(lambda row: bool(row[field] >= opens))
    if last:
        closes = midnight_ms(last + _DAY if counts_itself else last, account.zone)
        tests.append(lambda row: bool(row[field] < closes))
    return tests


def lower_names(query: Mapping[str, Any]) -> dict[str, str]:
    """Return a query with its names in lower case."""
    return {name.lower(): str(value) for name, value in query.items()}
