"""A booking through the handler, beside the bare transactions that it cannot do without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from bench.bare_booking import bare_booking
from bench.findings import Finding
from bench.history import FIRST_DAY, IDLE_PATIENTS, LAST_DAY
from bench.instance import handle, http_event
from bench.practice import API_KEY, EHR_SERVICE, PAYER, PHONE, SERVICE, account, born, practitioner_id, provider_id
from bench.sizes import Sizes
from bench.timing import Series, in_turns, stopwatch
from moonlit import wiring
from moonlit.availability.store import Availability
from moonlit.availability.use_cases import Request, free_slots, inquire
from moonlit.ehr.http import open_client
from moonlit.ehr.intakeq_rows import epoch_ms

if TYPE_CHECKING:  # The functions' processes import this module too, and have no use for the rig.
    from bench.rig import Rig

WARM_UP = 3
HOUR, DAY = 3_600, 86_400
_EHR_CALLS = {"known": 1, "new": 3}


@dataclass(frozen=True, slots=True)
class Slot:
    """A free start of the provider with this number."""

    provider: int
    starts_at: datetime


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Measure a patient whom the EHR knows, and one who is new to both sides."""
    rounds = sizes.bookings
    database = rig.copy(rig.practice(sizes.stored[1]))
    served = account(clients=3 * (rounds + WARM_UP))
    with rig.simulator(served) as intakeq, rig.function("book", database, intakeq) as instance:
        for kind, calls in _EHR_CALLS.items():
            took = instance.call(compared, kind, rounds, intakeq)
            ours, ehr, bare = took["ours"], took["ehr"], took["bare"]
            own = Series([whole - part for whole, part in zip(ours.values, ehr.values, strict=True)])
            yield Finding(
                what=f"booking of a {kind} patient, EHR at zero delay", n=rounds, ours=ours.median,
                note=f"p95 {ours.p95:.1f}; {calls} EHR call(s) take {ehr.median:.1f} of it",
            )  # fmt: skip
            yield Finding(
                what="our part of it, beside the bare transactions", n=rounds, ours=own.median,
                reference=bare.median, bar=4.0,
            )  # fmt: skip


def compared(kind: str, rounds: int, intakeq_url: str) -> dict[str, Series]:
    """Measure the handler, the EHR's part and the bare transactions in turns."""
    slots = iter(free_slots_apart(DAY))
    patients = iter(range(1, IDLE_PATIENTS))
    begin = wiring.begin()
    client = open_client(intakeq_url, {"X-Auth-Key": API_KEY})

    def booked() -> float:
        with begin() as connection:  # A real account sends ten requests a minute and has no more to remember.
            connection.exec_driver_sql("update ehr_budget set minute_hits = '{}'")
        event = booking_event(next(slots), next(patients), kind)
        return stopwatch(partial(_expect_201, event))

    def called() -> float:
        return stopwatch(partial(_call_ehr, client, kind, next(slots), next(patients)))

    def written() -> float:
        slot, patient = next(slots), next(patients) if kind == "known" else None
        with begin() as connection:
            driver = connection.connection
            return stopwatch(partial(bare_booking, driver, provider_id(slot.provider), slot.starts_at, patient))

    return in_turns({"ours": booked, "ehr": called, "bare": written}, rounds, WARM_UP)


def free_slots_apart(seconds: int) -> list[Slot]:
    """Return the first free start of each provider in every stretch of `seconds`, as the function itself sees them."""
    request = Request(payer_id=PAYER, service_id=SERVICE, state="UT", first=FIRST_DAY, last=LAST_DAY)
    with wiring.begin()() as connection:
        store = Availability(connection)
        free = free_slots(store, inquire(store, request, wiring.clock().now()))
    first: dict[tuple[UUID, int], Slot] = {}
    for start, provider_ids in free.items():
        for provider in provider_ids:
            slot = Slot(provider.int - provider_id(0).int, datetime.fromtimestamp(start, UTC))
            first.setdefault((provider, start // seconds), slot)
    return list(first.values())


def booking_event(slot: Slot, patient: int, kind: str = "known") -> dict[str, Any]:
    """Return the request of the patient with this number; a new one has a name of their own."""
    name = f"Pat{patient}" if kind == "known" else f"New{patient}"
    email = f"c{patient}@example.org" if kind == "known" else f"new{patient}@example.org"
    body = {
        "payerId": str(PAYER),
        "serviceId": str(SERVICE),
        "providerId": str(provider_id(slot.provider)),
        "start": slot.starts_at.isoformat(),
        "state": "UT",
        "patient": {
            "firstName": name,
            "lastName": "Lund",
            "dateOfBirth": born(patient),
            "email": email,
            "phone": PHONE,
        },
        "consents": {"email": True, "sms": False},
    }
    headers = {"idempotency-key": uuid4().hex}
    return http_event("POST", "/appointments", headers=headers, body=json.dumps(body))


def _expect_201(event: dict[str, Any]) -> None:
    answer = handle(event)
    if answer["statusCode"] != 201:  # noqa: PLR2004
        raise RuntimeError(f"book answered {answer['statusCode']}: {json.loads(answer['body'])['type']}")


def _call_ehr(client: Any, kind: str, slot: Slot, patient: int) -> None:
    """Send what the adapter sends, and nothing around it."""
    client_id: Any = f"c{patient}"
    if kind == "new":
        name, email = f"Bare{patient}", f"bare{patient}@example.org"
        client.get("clients", params={"search": name, "includeProfile": "true", "page": "1"}).raise_for_status()
        birth = epoch_ms(datetime.fromisoformat(f"{born(patient)}T00:00:00+00:00"))
        profile = {"FirstName": name, "LastName": "Lund", "Email": email, "Phone": PHONE, "DateOfBirth": birth}
        made = client.post("clients", json=profile | {"ExternalClientId": str(uuid4())})
        client_id = made.raise_for_status().json()["ClientId"]
    visit = {
        "PractitionerId": practitioner_id(slot.provider),
        "ClientId": client_id,
        "ServiceId": EHR_SERVICE,
        "LocationId": "4",
        "UtcDateTime": epoch_ms(slot.starts_at),
        "Status": "Confirmed",
        "SendClientEmailNotification": False,
        "ReminderType": "OptOut",
    }
    client.post("appointments", json=visit).raise_for_status().json()
