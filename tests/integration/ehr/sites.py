"""One small practice at each vendor, told in the port's words, so that the same tests can be asked of every adapter.

Everywhere: Dana Whitlock has visit `visit_id` at `NOON`; `free` and `next_free` can be booked, `taken` cannot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar

from moonlit.ehr.athena import Athena
from moonlit.ehr.athena import open_account as open_athena_account
from moonlit.ehr.athena_token import TokenEndpoint
from moonlit.ehr.intakeq import Intakeq
from moonlit.ehr.intakeq import open_account as open_intakeq_account
from moonlit.ehr.port import Budget, ClientDetails, Ehr, Lane, Membership, Move, NewVisit, VisitDetails
from tests import fixtures_athena as athena
from tests import fixtures_intakeq as intakeq
from tests.fixtures_intakeq import DENVER, NOON, MovableClock, OpenBudget
from tests.simulator_server import SimulatorServer

TOMORROW = NOON + timedelta(days=1)
DAY = NOON.date()
DANA = ClientDetails("our-id-1", "Dana", "Whitlock", "dana.whitlock@example.org", "+1 801 555 0142", date(1988, 5, 23))
MARA = ClientDetails("our-id-2", "Mara", "James", "mara@example.org", None, date(2001, 2, 3))

type Call = Callable[[Site, Ehr], object]


@dataclass
class Site(ABC):
    """A practice at one vendor."""

    server: SimulatorServer
    clock: MovableClock
    closing: ExitStack
    budget: OpenBudget = field(default_factory=OpenBudget)

    name: ClassVar[str]
    visit_id: ClassVar[str]
    client_id: ClassVar[str]
    practitioner_id: ClassVar[str]
    client_key: ClassVar[str]
    free: ClassVar[NewVisit]
    next_free: ClassVar[NewVisit]
    taken: ClassVar[NewVisit]

    def __post_init__(self) -> None:
        self.ehr = self.open()
        self.warm()

    @abstractmethod
    def open(self, budget: Budget | None = None, url: str | None = None, **options: Any) -> Ehr:
        """Open the adapter, closed with the test."""

    @abstractmethod
    def content(self) -> Mapping[str, tuple[str, ...]]:
        """Return every visit by its id: its status in the port's words and when it starts; and all patients' names."""

    @abstractmethod
    def details(self) -> Any:
        """Return what `add_details` sets."""

    @abstractmethod
    def refuse_taken(self) -> None:
        """Have the vendor refuse a booking of time that is taken, where it does not always."""

    @abstractmethod
    def gone_id(self) -> str:
        """Return the id of a visit that the vendor does not know, or no longer."""

    @abstractmethod
    def locked(self) -> Ehr:
        """Open the adapter with the wrong key."""

    def warm(self) -> None:
        """Ask for what is asked for once in a process's life."""
        self.ehr.visits_of_practitioner(self.practitioner_id, DAY, DAY, Lane.BOOKING)
        self.server.forget()
        self.budget.taken.clear()

    def move(self) -> Move:
        """Return a move of Dana's visit to free time."""
        to = self.free
        return Move(self.visit_id, self.client_id, to.ehr_service_id, to.starts_at, to.slot_id)

    def sent(self) -> list[str]:
        """Return the methods of all requests since the start."""
        return [row["method"] for row in self.server.requests()]


class IntakeqSite(Site):
    """A practice at IntakeQ."""

    name = "intakeq"
    visit_id = f"{1:024x}"
    client_id = str(intakeq.CLIENT)
    practitioner_id = intakeq.PRACTITIONER
    client_key = "dana.whitlock@example.org"
    free = NewVisit(practitioner_id, client_id, intakeq.SHORT_SERVICE, "4", TOMORROW)
    next_free = NewVisit(practitioner_id, client_id, intakeq.SHORT_SERVICE, "4", TOMORROW + timedelta(hours=1))
    taken = NewVisit(practitioner_id, client_id, intakeq.SHORT_SERVICE, "4", NOON)

    def open(self, budget: Budget | None = None, url: str | None = None, **options: Any) -> Intakeq:
        base_url = f"{url or self.server.url}/api/v1"
        options = dict[str, Any](key=intakeq.KEY, zone=DENVER) | options
        return self.closing.enter_context(
            closing(open_intakeq_account(base_url, budget=budget or self.budget, **options))
        )

    def content(self) -> Mapping[str, tuple[str, ...]]:
        state = self.server.state()
        visits = {row["Id"]: (row["Status"], str(row["StartDate"])) for row in state["appointments"]}
        return visits | {"": tuple(row["Name"] for row in state["clients"])}

    def details(self) -> Any:
        return self.content()

    def refuse_taken(self) -> None:
        self.server.fail(*({"method": method, "kind": "refuse_taken"} for method in ("POST", "PUT")))

    def gone_id(self) -> str:
        self.server.control("POST", "visits", {"action": "delete", "id": self.visit_id})
        return self.visit_id

    def locked(self) -> Ehr:
        return self.open(key="wrong")


@dataclass
class ProcessTokens:
    """The tokens of a process that is alone."""

    endpoint: TokenEndpoint
    kept: list[str]

    def current(self) -> str:
        if not self.kept:
            self.kept.append(self.endpoint.ask().access_token)
        return self.kept[0]

    def drop(self, token: str) -> None:
        self.kept.remove(token)


SEAT = (athena.PROVIDER, athena.DEPARTMENT)
FREE_SLOT, NEXT_SLOT, FROZEN_SLOT, VISIT = "2001", "2002", "2003", "1001"
SUPERVISED = VisitDetails(supervising_id=athena.SUPERVISOR)
DETAILS = VisitDetails(athena.SUPERVISOR, athena.OTHER_PROVIDER, Membership(athena.PACKAGE, "SMP00417722", "GRP-2201"))


class AthenaSite(Site):
    """A practice at athenahealth."""

    ehr: Athena

    name = "athena"
    visit_id = VISIT
    client_id = athena.PATIENT
    practitioner_id = athena.PROVIDER
    client_key = athena.PATIENT
    free = NewVisit(practitioner_id, client_id, athena.REASON, athena.DEPARTMENT, TOMORROW, FREE_SLOT)
    next_free = NewVisit(
        practitioner_id, client_id, athena.REASON, athena.DEPARTMENT, TOMORROW + timedelta(hours=1), NEXT_SLOT
    )
    taken = NewVisit(practitioner_id, client_id, athena.REASON, athena.DEPARTMENT, NOON, VISIT)

    def __post_init__(self) -> None:
        self.tokens: list[str] = []
        super().__post_init__()

    def open(self, budget: Budget | None = None, url: str | None = None, **options: Any) -> Athena:
        login = options.pop("login", (athena.CLIENT_ID, athena.CLIENT_SECRET))
        kept = options.pop("kept", self.tokens)
        options = dict[str, Any](clock=self.clock, zone=DENVER) | options
        opened = open_athena_account(
            url or self.server.url,
            login,
            options.pop("practice_id", athena.PRACTICE),
            budget=budget or self.budget,
            token=lambda endpoint: ProcessTokens(endpoint, kept),
            **options,
        )
        return self.closing.enter_context(closing(opened))

    def content(self) -> Mapping[str, tuple[str, ...]]:
        state = self.server.state()
        visits = {
            row["appointmentid"]: (
                row["appointmentstatus"],
                f"{row['date']} {row['starttime']}",
                str(row.get("supervisingproviderid")),
                str(row["isFrozen"]),
            )
            for row in state["appointments"]
        }
        return visits | {"": tuple(row["firstname"] for row in state["patients"])}

    def details(self) -> Any:
        state = self.server.state()
        [row] = [row for row in state["appointments"] if row["appointmentid"] == VISIT]
        people = {name: row.get(name) for name in ("supervisingproviderid", "renderingproviderid", "providerid")}
        return people, row["insurances"], state["insurances"]

    def refuse_taken(self) -> None:
        """Nothing to do: a slot that is booked is never given away again."""

    def gone_id(self) -> str:
        return FREE_SLOT  # A slot that nobody has booked is no visit.

    def locked(self) -> Ehr:
        return self.open(login=(athena.CLIENT_ID, "wrong"), kept=[])


def athena_account(**fields: Any) -> dict[str, Any]:
    """Return the account of `AthenaSite`: times are those of Denver."""
    return athena.make_athena_account(
        **{
            "patients": [athena.make_patient(sex="F")],
            "appointments": [athena.make_appointment(int(VISIT), "12:00", "03/10/2027")],
            "slots": [
                athena.make_slot(int(FREE_SLOT), "12:00", "03/11/2027"),
                athena.make_slot(int(NEXT_SLOT), "13:00", "03/11/2027"),
                athena.make_slot(int(FROZEN_SLOT), "14:00", "03/11/2027", frozen=True),
            ],
            **fields,
        }
    )


# What each EHR can be asked, by name; the writes each send one write.
WRITES: dict[str, dict[str, Call]] = {
    name: {
        "book": lambda site, ehr: ehr.book(site.free, Lane.BOOKING),
        "reschedule": lambda site, ehr: ehr.reschedule(site.move(), Lane.BOOKING),
        "cancel": lambda site, ehr: ehr.cancel(site.visit_id, site.client_id, "patient asked", Lane.BOOKING),
        "client_for": lambda _, ehr: ehr.client_for(MARA, Lane.BOOKING),
    }
    for name in ("intakeq", "athena")
}
WRITES["athena"] |= {
    "add_details": lambda site, ehr: ehr.add_details(site.visit_id, site.client_id, SUPERVISED, Lane.BOOKING),
}
FREEZES: dict[str, Call] = {
    "freeze": lambda _, ehr: ehr.freeze(FREE_SLOT, Lane.BOOKING),
    "thaw": lambda _, ehr: ehr.thaw(FROZEN_SLOT, Lane.BOOKING),
}
READS: dict[str, dict[str, Call]] = {
    name: {
        "changed_since": lambda _, ehr: ehr.changed_since(DAY, 1, Lane.NIGHTLY),
        "window": lambda _, ehr: ehr.window(DAY, DAY, 1, Lane.NIGHTLY),
        "visits_of_practitioner": lambda site, ehr: ehr.visits_of_practitioner(
            site.practitioner_id, DAY, DAY, Lane.BOOKING
        ),
        "visits_of_client": lambda site, ehr: ehr.visits_of_client(site.client_key, DAY, DAY, Lane.ON_DEMAND),
        "visit": lambda site, ehr: ehr.visit(site.visit_id, Lane.WEBHOOK),
    }
    for name in ("intakeq", "athena")
}
READS["intakeq"] |= {"deleted": lambda _, ehr: ehr.deleted(1, Lane.NIGHTLY)}
READS["athena"] |= {"open_slots": lambda _, ehr: ehr.open_slots([SEAT], [athena.REASON], DAY, DAY, Lane.NIGHTLY)}

ALL_WRITES = [(name, call) for name, calls in WRITES.items() for call in calls]
ALL_READS = [(name, call) for name, calls in READS.items() for call in calls]
