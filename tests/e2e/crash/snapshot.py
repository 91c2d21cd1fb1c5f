"""What stands where at one moment: here by the database, there by what the simulators of the EHRs hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import sqlalchemy as sa

from local.simulators.athena.wire import read_local
from tests.e2e.crash.practice import SYSTEMS, Slot, providers
from tests.e2e.site import Site, call
from tests.fixtures_intakeq import DENVER

STANDING = ("pending", "scheduled", "confirmed")
_PROVIDER_HERE = {each.id: each for system in SYSTEMS for each in providers(system)}
_PROVIDER_THERE = {each.ehr_id: each for each in _PROVIDER_HERE.values()}

_HERE = """
    select a.id, p.first_name, a.provider_id, a.start, a.status, x.external_id,
        (select count(*) from time_claims c where c.appointment_id = a.id) claims,
        (select w.state from ehr_writes w where w.appointment_id = a.id and w.kind != 'details'
         order by w.created_at desc, w.id limit 1) write_state,
        exists (select from ehr_writes w where w.appointment_id = a.id and w.move is not null) is_moved
    from appointments a join patients p on p.id = a.patient_id
    left join appointment_external_ids x on x.appointment_id = a.id and x.is_current
    order by a.created_at
"""


@dataclass(frozen=True)
class Here:
    """A visit as the database has it, and the state of the last write that decides where it is."""

    id: str
    slot: Slot
    external_id: str | None
    status: str
    claims: int
    write_state: str | None
    is_moved: bool


@dataclass(frozen=True)
class There:
    """A visit that stands in an EHR."""

    slot: Slot
    external_id: str


@dataclass(frozen=True)
class Snapshot:
    """Everything, by the patient's name; `frozen` are the ids of athenahealth's frozen slots, `open` its open ones."""

    here: Mapping[str, Sequence[Here]]
    there: Mapping[str, Sequence[There]]
    frozen: frozenset[str]
    open: frozenset[Slot]

    @classmethod
    def take(cls, site: Site, engine: sa.Engine) -> Self:
        with engine.begin() as connection:
            rows = connection.execute(sa.text(_HERE)).mappings().all()
        here: defaultdict[str, list[Here]] = defaultdict(list)
        for row in rows:
            slot = Slot(_PROVIDER_HERE[row["provider_id"]], row["start"].astimezone(DENVER))
            kept = ("external_id", "status", "claims", "write_state", "is_moved")
            here[row["first_name"]].append(Here(str(row["id"]), slot, **{name: row[name] for name in kept}))
        athena = _state(site, "athena")
        names = {row["patientid"]: row["firstname"] for row in athena["patients"]}
        there: defaultdict[str, list[There]] = defaultdict(list)
        for row in _state(site, "intakeq")["appointments"]:
            if row["Status"] != "Canceled":
                start = datetime.fromtimestamp(row["StartDate"] / 1000, DENVER)
                visit = There(Slot(_PROVIDER_THERE[row["PractitionerId"]], start), row["Id"])
                there[row["ClientName"].split()[0]].append(visit)
        for row in athena["appointments"]:
            if row["appointmentstatus"] == "f":
                there[names[row["patientid"]]].append(There(_slot(row), row["appointmentid"]))
        is_open = [row for row in athena["appointments"] if row["isOpen"]]
        frozen = frozenset(row["appointmentid"] for row in is_open if row["isFrozen"])
        return cls(here, there, frozen, frozenset(_slot(row) for row in is_open if not row["isFrozen"]))


def _state(site: Site, vendor: str) -> Any:
    return call("GET", f"{site.stack['simulators'][vendor]}/_control/state").body


def _slot(row: Mapping[str, Any]) -> Slot:
    start = read_local(row["date"], row["starttime"]).replace(tzinfo=DENVER)
    return Slot(_PROVIDER_THERE[str(row["providerid"])], start)
