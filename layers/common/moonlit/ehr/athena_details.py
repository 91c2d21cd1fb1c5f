"""What athenahealth takes only after a booking: who supervises and renders it, and what pays for it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from moonlit.ehr.athena_calls import Calls, says_yes
from moonlit.ehr.athena_patients import Patients
from moonlit.ehr.athena_rows import InsuranceRow, parsed
from moonlit.ehr.port import EhrOutcomeUnknown, EhrRefused, Lane, Membership, VisitDetails

_SELF_PAY = "0"
_PLACES = (1, 2)  # Primary and secondary; each can be held once.


class Details:
    """Sets them on booked visits; each step looks first, or may be repeated without harm."""

    def __init__(self, calls: Calls, patients: Patients) -> None:
        self._calls = calls
        self._patients = patients

    def add(self, external_id: str, client_id: str, details: VisitDetails, lane: Lane) -> None:
        """Set `details`, the people first.

        Raises:
            EhrRefused: `no_package`, `sex_unknown`: the policy is left to staff, the people are set. `no_place`: the
                patient has two other policies.
        """
        people = {"supervisingproviderid": details.supervising_id, "providerid": details.rendering_id}
        given = {name: value for name, value in people.items() if value}
        if given:
            self._change(f"appointments/booked/{quote(external_id, safe='')}", given, lane)
        if details.membership:
            insurance_id = self._insurance(client_id, details.membership, lane)
            path = f"appointments/{quote(external_id, safe='')}/insurances"
            self._change(path, {"primaryinsuranceid": insurance_id}, lane)

    def _change(self, path: str, form: dict[str, str], lane: Lane) -> None:
        if not says_yes(self._calls.send("PUT", path, lane, form)):
            raise EhrRefused("not_done")  # A message stands inside a 200.

    def _insurance(self, client_id: str, membership: Membership, lane: Lane) -> str:
        """Return the policy's id, found or created."""
        if membership.package_id is None:
            raise EhrRefused("no_package")
        policies = self._policies(client_id, lane)
        known = _same(policies, membership)
        if known:
            return known
        form = self._new_policy(client_id, membership, policies, lane)
        answer = self._calls.send("POST", f"patients/{quote(client_id, safe='')}/insurances", lane, form)
        created = _created_id(answer) or _same(self._policies(client_id, lane), membership)
        if created is None:
            raise EhrOutcomeUnknown("answered a policy that is not there")
        return created

    def _new_policy(
        self, client_id: str, membership: Membership, policies: Sequence[InsuranceRow], lane: Lane
    ) -> dict[str, str]:
        held = {each.sequence for each in policies}
        place = next((each for each in _PLACES if each not in held), None)
        if place is None:
            raise EhrRefused("no_place")
        form = {"insurancepackageid": str(membership.package_id), "sequencenumber": str(place)}
        if membership.package_id == _SELF_PAY:
            return form
        sex, first_name, last_name = self._patients.sex_and_names(client_id, lane)
        group = {"policynumber": membership.group_number} if membership.group_number else {}
        return form | group | {
            "insuranceidnumber": membership.member_id.strip(),
            "insurancepolicyholderfirstname": first_name,
            "insurancepolicyholderlastname": last_name,
            "insurancepolicyholdersex": sex,
        }  # fmt: skip

    def _policies(self, client_id: str, lane: Lane) -> list[InsuranceRow]:
        rows = self._calls.rows(f"patients/{quote(client_id, safe='')}/insurances", "insurances", lane, {})
        return [parsed(InsuranceRow, row) for row in rows]


def _same(policies: Sequence[InsuranceRow], membership: Membership) -> str | None:
    """Return the id of the policy that is this membership already, so that it is not created a second time."""
    numbered = membership.package_id != _SELF_PAY
    for policy in policies:
        same_number = not numbered or _number(policy.member_id) == _number(membership.member_id)
        if policy.insurance_id and policy.package_id == membership.package_id and same_number:
            return policy.insurance_id
    return None


def _created_id(answer: object) -> str | None:
    """Return the id in the answer; some answer only that it was done."""
    row = answer[0] if isinstance(answer, list) and answer else None
    return parsed(InsuranceRow, row).insurance_id if isinstance(row, dict) else None


def _number(member_id: str | None) -> str:
    return "".join((member_id or "").split()).casefold()
