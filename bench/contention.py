"""Many processes that want the same few slots at once: each slot is sold to one of them, and nobody sees an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa

from bench.booking import HOUR, Slot, free_slots_apart
from bench.findings import Finding
from bench.practice import PAYER, PHONE, SERVICE, provider_id
from bench.sizes import Sizes
from moonlit import wiring
from moonlit.booking.errors import BookingRefused
from moonlit.booking.patients import PatientForm
from moonlit.booking.use_cases import accept
from moonlit.booking.wanted import Key, Wanted

if TYPE_CHECKING:  # The functions' processes import this module too, and have no use for the rig.
    from bench.rig import Rig

_PROVIDERS = 4  # Whoever is refused is told what else is free, which is most of the work, and not what is measured.
_SOLD = "sold"
# Visits that were booked here and share time with any other active visit of the same provider or patient.
_OVERLAPS = sa.text("""
select count(*) from appointments a join appointments b
  on a.id <> b.id and a."start" < b."end" and b."start" < a."end"
 and (a.provider_id = b.provider_id or a.patient_id = b.patient_id)
where a.id in (select appointment_id from ehr_writes) and a.status in ('pending', 'scheduled', 'confirmed')
  and b.status in ('pending', 'scheduled', 'confirmed')
""")


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Let the rivals loose on the slots and look at what is stored afterwards."""
    database = rig.copy(rig.practice(providers=_PROVIDERS))
    with ExitStack() as running:
        rivals = [running.enter_context(rig.function("book", database)) for _ in range(sizes.rivals)]
        slots = rivals[0].call(free_slots_apart, HOUR)[: sizes.contended_slots]
        share = sizes.attempts // sizes.rivals
        with ThreadPoolExecutor(sizes.rivals) as calls:
            list(calls.map(lambda rival: rival.call(get_ready), rivals))
            begun = perf_counter()
            tries = calls.map(lambda one: rivals[one].call(contend, slots, share, seed=one), range(sizes.rivals))
            outcomes = sum(tries, Counter[str]())
            seconds = perf_counter() - begun
    with rig.owner(database) as engine, engine.begin() as connection:
        overlaps = connection.execute(_OVERLAPS).scalar_one()
    attempts = outcomes.total()
    errors = sum(count for outcome, count in outcomes.items() if outcome.startswith("error"))
    told = ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.most_common())
    what = f"{sizes.rivals} processes on {len(slots)} slots"
    yield Finding(what=f"{what}: overlaps", n=attempts, ours=overlaps, unit="", bar=0, note=told)
    yield Finding(what=f"{what}: errors", n=attempts, ours=errors, unit="", bar=0)
    yield Finding(what=f"{what}: attempts", n=attempts, ours=attempts / seconds, unit="/s")


def get_ready() -> None:
    """Connect, so that all begin at once."""
    free_slots_apart(HOUR)


def contend(slots: Sequence[Slot], attempts: int, *, seed: int) -> Counter[str]:
    """Try so often to book one of the slots, each time for somebody else; return how often each thing happened."""
    random = Random(seed)
    return Counter(_attempt(random.choice(slots), f"{seed}x{number}") for number in range(attempts))


def _attempt(slot: Slot, name: str) -> str:
    form = PatientForm("Rival", name, date(1988, 5, 23), f"r{name}@example.org", PHONE, "UT", None)
    wanted = Wanted(PAYER, SERVICE, slot.starts_at, "UT", patient=form, provider_id=provider_id(slot.provider))
    try:
        accept(wiring.begin(), wiring.clock(), wanted, Key(uuid4().hex, name))
    except BookingRefused as refused:
        return refused.slug
    except Exception as error:  # noqa: BLE001  # Whatever else happens is what this looks for.
        return f"error {type(error).__name__}"
    return _SOLD
