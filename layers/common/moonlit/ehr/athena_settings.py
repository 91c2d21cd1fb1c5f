"""What an athenahealth practice has set up now: providers, departments, and the reasons for which patients come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from moonlit.ehr.athena_calls import Calls
from moonlit.ehr.athena_rows import parsed
from moonlit.ehr.catalog import EhrLocation, EhrPractitioner, EhrService, EhrSettings
from moonlit.ehr.port import EhrRefused, Lane
from moonlit.ehr.rows import VendorRow, refuse_unstorable


class _ProviderRow(VendorRow):
    provider_id: str = Field(alias="providerid", min_length=1)
    shown_name: str | None = Field(default=None, alias="displayname")
    first_name: str | None = Field(default=None, alias="firstname")
    last_name: str | None = Field(default=None, alias="lastname")

    @property
    def name(self) -> str | None:
        """Return the name that the practice shows."""
        return self.shown_name or " ".join(filter(None, (self.first_name, self.last_name))) or None


class _DepartmentRow(VendorRow):
    department_id: str = Field(alias="departmentid", min_length=1)
    name: str | None = None


class _ReasonRow(VendorRow):
    reason_id: str = Field(alias="reasonid", min_length=1)
    reason: str | None = None


def read_settings(calls: Calls, seats: Sequence[tuple[str, str]], lane: Lane) -> EhrSettings:
    """Read the practice's settings: two requests, and one for each of the `seats` that the practice knows.

    A visit is booked for a reason, and reasons are told by provider and department only. How long a visit for one is
    does not stand there: its slot decides. A provider who has left is not listed any more.

    Raises:
        EhrRefused: `unreadable`: what is left out here would be taken for something that the EHR does not know.
    """
    providers = [parsed(_ProviderRow, row) for row in _rows(calls, "providers", lane)]
    departments = [parsed(_DepartmentRow, row) for row in _rows(calls, "departments", lane, showalldepartments="true")]
    provider_ids = {each.provider_id for each in providers}
    department_ids = {each.department_id for each in departments}
    known = [seat for seat in dict.fromkeys(seats) if seat[0] in provider_ids and seat[1] in department_ids]
    reasons: dict[str, EhrService] = {}
    for provider, department in known:
        rows = _rows(calls, "patientappointmentreasons", lane, providerid=provider, departmentid=department)
        for read in (parsed(_ReasonRow, row) for row in rows):
            reasons[read.reason_id] = EhrService(read.reason_id, read.reason, None)
    return EhrSettings(
        services=list(reasons.values()) if known else None,
        practitioners=[EhrPractitioner(each.provider_id, each.name) for each in providers],
        locations=[EhrLocation(each.department_id, each.name) for each in departments],
    )


def _rows(calls: Calls, name: str, lane: Lane, **parameters: str) -> list[Mapping[str, Any]]:
    """Return the rows of a list that has the name of its path."""
    rows = calls.rows(name, name, lane, parameters)
    try:
        for row in rows:
            refuse_unstorable(row)
    except (TypeError, ValueError):
        raise EhrRefused("unreadable") from None
    return rows
