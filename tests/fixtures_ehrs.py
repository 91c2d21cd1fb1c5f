"""The practice's two EHRs as flows of bookings see them: what stands there, what staff do there, what goes wrong there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal
from uuid import UUID

from local.simulators.intakeq.wire import to_ms
from tests.fixtures_athena import AthenaServer, make_athena_account, make_pattern, make_slot
from tests.fixtures_booking import EMIL, INES
from tests.fixtures_intakeq import DENVER, PRACTITIONER, IntakeqServer, make_visit

NOOR, TOVE = UUID(int=0x12), UUID(int=0x13)
LONG_VISIT, REASON = "84", "963"  # An hour, as the service takes.
HALF_PAST = "10:30"  # Where a slot overlaps the one at ten.
HOUR = timedelta(hours=1)
STRANGER = "50342"

type System = Literal["intakeq", "athena"]


def make_schedule(**fields: Any) -> dict[str, Any]:
    """Return athenahealth's account: nobody there but a stranger, both providers' weeks open by the hour.

    The first one's Thursday has a slot at half past ten too, which overlaps that at ten.
    """
    week = {"from": "09:00", "to": "17:00", "appointmenttypeid": LONG_VISIT}
    account = make_athena_account()
    stranger = next(each for each in account["patients"] if each["patientid"] == STRANGER)
    return (
        account
        | {
            "patients": [stranger],
            "patterns": [make_pattern(**week), make_pattern(providerid="72", **week)],
            "slots": [make_slot(900_001, HALF_PAST, "03/11/2027", appointmenttypeid=LONG_VISIT)],
        }
        | fields
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """A visit that stands in an EHR."""

    external_id: str
    practitioner_id: str
    client_id: str
    start: datetime


class Side(ABC):
    """One EHR: its simulator, what its staff do, and the requests in which something can go wrong."""

    system: System
    provider: UUID
    colleague: UUID
    requests: Mapping[str, tuple[str, str]]
    server: IntakeqServer | AthenaServer

    @abstractmethod
    def standing(self) -> list[Standing]:
        """Return the visits that stand, by their start; those of strangers left out."""

    @abstractmethod
    def take(self, start: datetime) -> None:
        """Let staff give the provider's time to a stranger."""

    @abstractmethod
    def land(self, start: datetime, practitioner_id: str, client_id: str) -> None:
        """Let a booking of ours that had been travelling take effect now."""

    @abstractmethod
    def cancel(self, external_id: str) -> None:
        """Let staff cancel a visit."""

    @abstractmethod
    def move(self, external_id: str, to: datetime) -> str:
        """Let staff move a visit; return the id that it has from then on."""

    def fail(self, call: str, kind: str, times: int | None = 1, **fault: Any) -> None:
        """Order a fault for the requests of one kind, such as `book`."""
        method, path = self.requests[call]
        self.server.fail({"method": method, "path": path, "kind": kind, "times": times} | fault)

    def asked(self, call: str) -> int:
        """Return how many requests of one kind have been received since the last `forget`."""
        method, path = self.requests[call]
        return sum(is_request(row, method, path) for row in self.server.requests())


def is_request(row: Mapping[str, Any], method: str, path: str) -> bool:
    """Tell whether a request that a simulator has listed is of this kind."""
    return row["method"] == method and fnmatchcase(row["path"], path)


@dataclass(frozen=True)
class IntakeqSide(Side):
    """IntakeQ."""

    server: IntakeqServer
    system: System = "intakeq"
    provider: UUID = INES
    colleague: UUID = EMIL
    requests: Mapping[str, tuple[str, str]] = field(
        default_factory=lambda: {
            "client": ("POST", "/clients"),
            "book": ("POST", "/appointments"),
            "reschedule": ("PUT", "/appointments"),
            "cancel": ("POST", "/appointments/cancellation"),
        }
    )

    def standing(self) -> list[Standing]:
        rows = [row for row in self.server.state()["appointments"] if row["Status"] not in ("Canceled", "Deleted")]
        found = [
            Standing(
                row["Id"],
                row["PractitionerId"],
                str(row["ClientId"]),
                datetime.fromtimestamp(row["StartDate"] / 1000, UTC),
            )
            for row in rows
            if str(row["ClientId"]) != STRANGER
        ]
        return sorted(found, key=lambda visit: visit.start)

    def take(self, start: datetime) -> None:
        self.land(start, PRACTITIONER, STRANGER)

    def land(self, start: datetime, practitioner_id: str, client_id: str) -> None:
        number = 1000 + len(self.server.state()["appointments"])
        now = to_ms(self.server.clock.now())
        email = "ines.okafor@example.org" if practitioner_id == PRACTITIONER else "emil.varga@example.org"
        given: dict[str, Any] = {
            "ClientId": int(client_id),
            "PractitionerId": practitioner_id,
            "PractitionerEmail": email,
        }
        visit = make_visit(number, start, DateCreated=now, LastModified=now, **given)
        self.server.staff("create", appointment=visit)

    def cancel(self, external_id: str) -> None:
        self.server.staff("cancel", id=external_id)

    def move(self, external_id: str, to: datetime) -> str:
        self.server.staff("update", id=external_id, fields={"StartDate": to_ms(to), "EndDate": to_ms(to + HOUR)})
        return external_id


@dataclass(frozen=True)
class AthenaSide(Side):
    """athenahealth."""

    server: AthenaServer
    system: System = "athena"
    provider: UUID = NOOR
    colleague: UUID = TOVE
    requests: Mapping[str, tuple[str, str]] = field(
        default_factory=lambda: {
            "client": ("POST", "/patients"),
            "book": ("PUT", "/appointments/[0-9]*[0-9]"),
            "reschedule": ("PUT", "/appointments/*/reschedule"),
            "cancel": ("PUT", "/appointments/*/cancel"),
            "freeze": ("PUT", "/appointments/*/freeze"),
            "details": ("PUT", "/appointments/booked/*"),
            "policy": ("POST", "/patients/*/insurances"),
            "attach": ("PUT", "/appointments/*/insurances"),
        }
    )

    def standing(self) -> list[Standing]:
        found = [
            Standing(row["appointmentid"], row["providerid"], row["patientid"], _instant(row))
            for row in self.rows()
            if row["appointmentstatus"] == "f" and row["patientid"] != STRANGER
        ]
        return sorted(found, key=lambda visit: visit.start)

    def rows(self) -> list[dict[str, Any]]:
        return list(self.server.state()["appointments"])

    def slot(self, start: datetime, provider_id: str = "71") -> dict[str, Any]:
        """Return the provider's open slot at that time."""
        return next(
            row for row in self.rows() if row["isOpen"] and _instant(row) == start and row["providerid"] == provider_id
        )

    def is_open(self, start: datetime) -> bool:
        """Tell whether anybody could book the first provider then."""
        return any(
            row["isOpen"] and not row["isFrozen"] and row["providerid"] == "71" and _instant(row) == start
            for row in self.rows()
        )

    def frozen(self) -> set[datetime]:
        """Return when frozen slots begin."""
        return {_instant(row) for row in self.rows() if row["isFrozen"]}

    def take(self, start: datetime) -> None:
        self.land(start, "71", STRANGER)

    def land(self, start: datetime, practitioner_id: str, client_id: str) -> None:
        slot_id = self.slot(start, practitioner_id)["appointmentid"]
        self.server.staff("book", appointmentid=slot_id, patientid=client_id, reasonid=REASON)

    def cancel(self, external_id: str) -> None:
        self.server.staff("cancel", appointmentid=external_id)

    def move(self, external_id: str, to: datetime) -> str:
        new_id = self.slot(to)["appointmentid"]
        self.server.staff("move", appointmentid=external_id, newappointmentid=new_id)
        return str(new_id)


def _instant(row: Mapping[str, Any]) -> datetime:
    local = datetime.strptime(f"{row['date']} {row['starttime']}", "%m/%d/%Y %H:%M")  # noqa: DTZ007
    return local.replace(tzinfo=DENVER).astimezone(UTC)
