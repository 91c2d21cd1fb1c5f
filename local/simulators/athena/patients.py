"""Patients: the search for them, and their creation, which quietly hands back who is there already."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from local.simulators.athena.account import Account
from local.simulators.athena.answers import Refusal, invalid, missing, unknown
from local.simulators.athena.forms import Parameters
from local.simulators.athena.wire import day_text, read_day
from local.simulators.common.answers import Row

_CONTACTS = ("email", "guarantoremail", "ssn", "homephone", "mobilephone", "workphone", "zip")
_PHONES = ("homephone", "mobilephone", "workphone")
_LENGTHS = {"firstname": 20, "address1": 100, "address2": 100, "city": 30, "email": 50, "guarantoremail": 50, "zip": 10}
_SWITCHES = ("showerrormessage", "bypasspatientmatching")
_KNOWN = ("dob", "lastname", "firstname", "ssn", "email", "mobilephone", "homephone", "zip")
_SCORES = {"dob": 8, "lastname": 8, "firstname": 6, "ssn": 10, "email": 6, "mobilephone": 6, "homephone": 5, "zip": 2}
_BEST, _BEST_SCORE = 5, 16
_PHONE_DIGITS, _EQUAL_DIGITS = 10, 1
_EXISTING = "The patient was not created because a matching patient exists already."


def create(account: Account, form: Parameters, now: datetime) -> Row:
    """Create a patient, or return the id of somebody with that last name, birth date, and e-mail or phone.

    Raises:
        Refusal: Something is missing or makes no sense.
    """
    _, _, born, _ = form.need("firstname", "lastname", "dob", "departmentid")
    row: Row = {name: value for name, value in form.rows().items() if name not in _SWITCHES and value.strip()}
    if not any(name in row for name in _CONTACTS):
        raise missing(_CONTACTS)
    row["dob"] = _birth_text(born, now)
    _check(account, row)
    existing = None if form.flag("bypasspatientmatching") else _existing(account, row)
    if existing is not None:
        told = _EXISTING if form.flag("showerrormessage") else ""
        return {"patientid": existing["patientid"], "errormessage": told}
    row |= {"patientid": account.next_id("patient"), "status": row.get("status", "active")}
    account.patients[row["patientid"]] = row
    return {"patientid": row["patientid"], "errormessage": ""}


def patient(account: Account, patient_id: str) -> Row:
    """Return a patient, deleted ones too: their `status` tells.

    Raises:
        Refusal: There is none.
    """
    row = account.patients.get(patient_id)
    if row is None:
        raise unknown("patient")
    return shown(row)


def shown(row: Row) -> Row:
    """Return a patient as a read shows them."""
    return {"consenttotext": False, "consenttocall": "false", "primarydepartmentid": row.get("departmentid", "")} | row


def best_matches(account: Account, query: Parameters, now: datetime) -> list[Row]:
    """Return who it may be, the best first: one who stands out, or the best five when they are asked for.

    Raises:
        Refusal: A name or the birth date is missing.
    """
    _, _, born = query.need("firstname", "lastname", "dob")
    wanted = {name: query.text(name) for name in _KNOWN} | {"dob": _birth_text(born, now)}
    scored = sorted(((_score(wanted, row), row) for row in account.patients.values()), key=lambda pair: -pair[0])
    if query.flag("returnbestmatches"):
        found = [pair for pair in scored[:_BEST] if pair[0] >= _BEST_SCORE]
    else:
        least = query.number("minscore", account.settings.best_match_score)
        found = [pair for pair in scored[:1] if pair[0] >= least]
        if found and len(scored) > 1 and scored[1][0] == found[0][0]:
            found = []  # Two fit as well: it says nobody rather than anybody.
    return [shown(row) | {"patientid": int(row["patientid"]), "score": str(score)} for score, row in found]


def _check(account: Account, row: Row) -> None:
    lengths = _LENGTHS | {"lastname": account.settings.last_name_length}
    wrong = [name for name, longest in lengths.items() if len(str(row.get(name, ""))) > longest]
    wrong += [name for name in _PHONES if name in row and not _is_phone(str(row[name]))]
    if row["departmentid"] not in account.departments:
        wrong.append("departmentid")
    if wrong:
        raise invalid(*wrong)


def _is_phone(text: str) -> bool:
    """Say whether the North American numbering plan, and the vendor's own suspicion, let the number pass."""
    digits = _digits(text)
    return (
        len(digits) == _PHONE_DIGITS
        and len(set(digits)) > _EQUAL_DIGITS
        and "4567890" not in digits
        and digits[1:3] != "11"
        and digits[0] not in "01"
        and digits[3] not in "01"
    )


def _digits(value: Any) -> str:
    digits = "".join(filter(str.isdecimal, str(value or "")))
    return digits[1:] if len(digits) == _PHONE_DIGITS + 1 and digits.startswith("1") else digits


def _birth_text(text: str, now: datetime) -> str:
    try:
        born = read_day(text)
    except ValueError:
        raise Refusal("Improper DOB.") from None
    if born > now.date():
        raise Refusal("Improper DOB.")
    return day_text(born)


def _existing(account: Account, row: Row) -> Row | None:
    """Return whom the vendor takes for the same person; those who are deleted come last, but they come."""
    found = [other for other in account.patients.values() if _is_same(row, other)]
    return min(found, key=lambda other: other["status"] == "deleted", default=None)


def _is_same(row: Row, other: Row) -> bool:
    if _folded(row["lastname"]) != _folded(other.get("lastname")) or row["dob"] != other.get("dob"):
        return False
    email = _folded(row.get("email"))
    return bool((email and email == _folded(other.get("email"))) or (_numbers(row) & _numbers(other)))


def _numbers(row: Row) -> set[str]:
    return {_digits(row[name]) for name in _PHONES if row.get(name)}


def _score(wanted: Row, row: Row) -> int:
    """Return how well a patient fits: the weights of the fields that agree."""
    agreeing = (name for name in _KNOWN if wanted[name] and _comparable(name, wanted) == _comparable(name, row))
    return sum(_SCORES[name] for name in agreeing)


def _comparable(name: str, row: Row) -> str:
    return _digits(row.get(name)) if name in _PHONES else _folded(row.get(name))


def _folded(value: Any) -> str:
    return str(value or "").strip().casefold()
