"""Insurance policies of patients, and which visits they are attached to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from local.simulators.athena.account import Account
from local.simulators.athena.answers import Refusal, invalid, missing, unknown
from local.simulators.athena.forms import Parameters
from local.simulators.athena.shapes import insurance_row
from local.simulators.athena.slot import FUTURE, Slot
from local.simulators.common.answers import Row

SELF_PAY = "0"
PRIMARY, SECONDARY = "1", "2"
_PLACES = {PRIMARY: "primary", SECONDARY: "secondary"}
_HOLDER = ("insurancepolicyholderfirstname", "insurancepolicyholderlastname", "insurancepolicyholdersex")
_SWITCHES = ("updateappointments", "validateinsuranceidnumber")


def policies(account: Account, patient_id: str, *, with_cancelled: bool = False) -> list[Row]:
    """Return a patient's policies, the primary first."""
    rows = [row for row in account.insurances.values() if str(row["patientid"]) == patient_id]
    rows = [row for row in rows if with_cancelled or not row.get("cancelled")]
    return sorted(rows, key=lambda row: (str(row["sequencenumber"]), int(row["insuranceid"])))


def create(account: Account, patient_id: str, form: Parameters, now: datetime) -> Row:
    """Add a policy.

    Raises:
        Refusal: The patient is unknown, or something is missing or makes no sense.
    """
    _known_patient(account, patient_id)
    (package,) = form.need("insurancepackageid")
    if package != SELF_PAY:
        if package not in account.packages:
            raise invalid("insurancepackageid")
        form.need(*_HOLDER)
    place = form.text("sequencenumber") or PRIMARY
    if place not in _PLACES:
        raise invalid("sequencenumber")
    _check_place(account, patient_id, place)
    row: Row = {name: value for name, value in form.rows().items() if name not in _SWITCHES}
    row |= {"insuranceid": account.next_id("insurance"), "patientid": patient_id, "sequencenumber": place}
    account.insurances[row["insuranceid"]] = row
    if form.flag("updateappointments"):
        for slot in _future_visits(account, patient_id, now):
            attach(account, slot, {place: row["insuranceid"]})
    return row


def answer(account: Account, row: Row) -> list[Row] | Row:
    """Return what creating a policy answers, which has varied."""
    match account.settings.insurance_answers:
        case "success_only":
            return {"success": "true"}
        case "without_id":
            return [{name: value for name, value in insurance_row(account, row).items() if name != "insuranceid"}]
        case _:
            return [insurance_row(account, row)]


def policy(account: Account, patient_id: str, insurance_id: str) -> Row:
    """Return one policy of a patient.

    Raises:
        Refusal: The patient has no such policy.
    """
    _known_patient(account, patient_id)
    row = account.insurances.get(insurance_id)
    if row is None or str(row["patientid"]) != patient_id:
        raise unknown("insurance")
    return row


def update(row: Row, form: Parameters) -> None:
    """Change what a policy says; never its package.

    Raises:
        Refusal: It names another package.
    """
    package = form.text("insurancepackageid")
    if package not in (None, str(row["insurancepackageid"])):
        raise invalid("insurancepackageid", message="Delete the insurance and create another to change its package.")
    kept = ("insuranceid", "patientid", "insurancepackageid", *_SWITCHES)
    row |= {name: value for name, value in form.rows().items() if name not in kept}


def attach(account: Account, slot: Slot, given: dict[str, str | None]) -> None:
    """Attach policies to a visit, by their place.

    Raises:
        Refusal: Nothing is given, nobody has booked the slot, or a policy is not the patient's.
    """
    wanted = {place: insurance_id for place, insurance_id in given.items() if insurance_id}
    if not wanted:
        raise missing(["primaryinsuranceid"])
    if slot.booking is None:
        raise invalid("appointmentid")
    for place, insurance_id in wanted.items():
        row = account.insurances.get(insurance_id)
        if row is None or row.get("cancelled") or str(row["patientid"]) != slot.booking.patient_id:
            raise invalid(f"{_PLACES[place]}insuranceid")
    slot.booking.insurances |= {_PLACES[place]: insurance_id for place, insurance_id in wanted.items()}


def _check_place(account: Account, patient_id: str, place: str) -> None:
    held = {str(row["sequencenumber"]): row for row in policies(account, patient_id)}
    if place in held:
        raise invalid("sequencenumber", message="The patient already has an insurance with this sequence number.")
    primary = held.get(PRIMARY)
    if place == SECONDARY and (primary is None or str(primary["insurancepackageid"]) == SELF_PAY):
        raise Refusal("A secondary insurance requires a primary insurance that is not self-pay.")


def _known_patient(account: Account, patient_id: str) -> None:
    if patient_id not in account.patients:
        raise unknown("patient")


def _future_visits(account: Account, patient_id: str, now: datetime) -> Iterator[Slot]:
    for slot in account.slots.values():
        is_theirs = slot.booking is not None and slot.booking.patient_id == patient_id
        if is_theirs and slot.status == FUTURE and account.starts_at(slot) > now:
            yield slot
