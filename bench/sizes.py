"""How much of everything a run measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a run.

    Attributes:
        stored: Visits in the database for availability: few, many and most.
        requests: Rounds of availability.
        bookings: Rounds of booking.
        rivals: Processes that contend for slots.
        contended_slots: The slots that they contend for.
        attempts: How often they try, together.
        patients: Patients of the practice for the night: few and many.
        changed: Visits that change before the second night.
        nights: How often a whole night is applied.
        payers: Payers that are made bookable.
        payer_services: Services that each of them is to have.
        webhooks: Rounds of webhooks.
        sightings: Rounds from a webhook to the roster.
        imports: How often each function is imported; the best counts.
        functions: The folders of those whose import and memory are measured; empty for all.
    """

    stored: tuple[int, int, int] = (10_000, 100_000, 1_000_000)
    requests: int = 40
    bookings: int = 60
    rivals: int = 16
    contended_slots: int = 200
    attempts: int = 10_000
    patients: tuple[int, int] = (100, 10_000)
    changed: int = 150
    nights: int = 3
    payers: int = 1_000
    payer_services: int = 10
    webhooks: int = 300
    sightings: int = 100
    imports: int = 5
    functions: tuple[str, ...] = ()

    def includes(self, folder: str) -> bool:
        """Return whether the function's import and memory are measured."""
        return not self.functions or folder in self.functions


QUICK = Sizes(
    stored=(9_300, 9_300, 9_300),
    requests=2,
    bookings=2,
    rivals=2,
    contended_slots=4,
    attempts=12,
    patients=(40, 40),
    changed=10,
    nights=1,
    payers=3,
    payer_services=2,
    webhooks=3,
    sightings=2,
    imports=1,
    functions=("webhook",),
)
