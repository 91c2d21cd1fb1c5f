"""The 31 payers, each made to be one case of payer acceptance, with what a correct system answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.demo_data.ids import in_days, uid


@dataclass(frozen=True, slots=True)
class Contract:
    """A provider's contract; the days count from today, None for no date."""

    provider: int
    begins: int | None = -200
    ends: int | None = None
    status: str = "active"


@dataclass(frozen=True, slots=True)
class Payer:
    """A payer with its contracts, and the acceptance that follows from them."""

    name: str
    kind: str
    status_code: str | None
    contracts: tuple[Contract, ...]
    acceptance: str
    accepted_in: int | None = None

    @property
    def id(self) -> str:
        """Its id in the clinic file."""
        return uid("payer", self.name)


def _private(
    name: str, status: str | None, contracts: tuple[Contract, ...], acceptance: str, days: int | None = None
) -> Payer:
    return Payer(name, "private", status, contracts, acceptance, days)


def _medicaid(
    name: str, status: str | None, contracts: tuple[Contract, ...], acceptance: str, days: int | None = None
) -> Payer:
    return Payer(name, "medicaid", status, contracts, acceptance, days)


def _self_pay(name: str) -> Payer:
    return Payer(name, "self_pay", "approved", (), "accepted")


# The two that are ready to be booked when the clinic is found, and one whose only instance has no mapping.
READY = _private("Blue Juniper Health", "approved", (Contract(0), Contract(1), Contract(8), Contract(9)), "accepted")
CHANGING = _private(
    "Quartz Peak PPO", "approved", (Contract(3), Contract(7), Contract(4, begins=14), Contract(2, ends=12)), "accepted"
)
UNMAPPED = _medicaid("Lakeshore Medicaid", "approved", (Contract(0), Contract(1)), "accepted")

PAYERS = (
    READY,
    CHANGING,
    _private("Cedar Gate PPO", "pending", (Contract(0),), "accepted"),
    _private("Larch Hollow PPO", None, (Contract(2),), "accepted"),
    _private("Ridgeline Mutual", "suspended", (Contract(0),), "lead"),
    _private("Stone Arch Mutual", "rejected", (Contract(1),), "lead"),
    _private("Fern Valley Health", "approved", (Contract(0, begins=30),), "accepted_from", 30),
    _private("Otter Creek Health", "approved", (Contract(0, begins=31),), "lead"),
    _private("Tamarack Select ", "approved", (Contract(2, begins=0),), "accepted"),
    _private("Willow Bend Select", "approved", (Contract(3, begins=1),), "accepted_from", 1),
    _private("Gray Heron Plan", "approved", (Contract(1, begins=-5, status="credentialing_in_progress"),), "lead"),
    _private("Kestrel Plan", "approved", (Contract(0, ends=-1),), "lead"),
    _private("Sandpiper Plan", "approved", (Contract(0, ends=0),), "accepted"),
    UNMAPPED,
    _medicaid("Foothill Medicaid", "approved", (), "lead"),
    _medicaid("Three Rivers Medicaid", None, (), "lead"),
    _medicaid("Bitterroot Medicaid", "approved", (Contract(2, status="inactive"),), "lead"),
    _medicaid("Cottonwood Medicaid", "approved", (Contract(5),), "lead"),
    _medicaid("Meadowlark Medicaid", "approved", (Contract(0, begins=None),), "lead"),
    _medicaid("Goldenrod Medicaid", "pending", (Contract(1, begins=45), Contract(0, begins=20)), "accepted_from", 20),
    _medicaid("Saltgrass Medicaid", "approved", (Contract(1, ends=-10), Contract(1, begins=5)), "accepted_from", 5),
    _medicaid("Pronghorn Medicaid", "approved", (Contract(0, ends=3), Contract(0, begins=10)), "accepted"),
    _medicaid("Chokecherry Medicaid", "approved",
              (Contract(0, status="credentialing_in_progress"), Contract(1)), "accepted"),
    _medicaid("Yarrow Medicaid", "pending", (Contract(4),), "accepted"),
    _medicaid("Wild Iris Medicaid", "approved", (Contract(8),), "accepted"),
    _medicaid("Canyon Wren Medicaid", "approved", (Contract(10), Contract(11)), "accepted"),
    _medicaid("Rabbitbrush Medicaid", "approved", (Contract(9),), "accepted"),
    _medicaid("Buffaloberry Medicaid", "approved", (Contract(1), Contract(3)), "accepted"),
    _self_pay("Self-Pay"),
    _self_pay("Sliding Scale"),
    _self_pay("Employer Program"),
)  # fmt: skip


def payer_rows() -> list[dict[str, Any]]:
    """Return the clinic file's payers."""
    return [
        {"id": payer.id, "name": payer.name, "type": payer.kind, "status_code": payer.status_code, "state": "UT",
         "plan_codes": []}
        for payer in PAYERS
    ]  # fmt: skip


def contract_rows(providers: list[str]) -> list[dict[str, Any]]:
    """Return the clinic file's contracts; `providers` are the provider ids in order."""
    return [
        {"id": uid("contract", payer.name, number), "provider_id": providers[contract.provider], "payer_id": payer.id,
         "effective_date": _day(contract.begins), "end_date": _day(contract.ends), "status": contract.status}
        for payer in PAYERS
        for number, contract in enumerate(payer.contracts)
    ]  # fmt: skip


def acceptance() -> dict[str, dict[str, str | None]]:
    """Return what each payer, by its trimmed name, is to be answered with."""
    return {payer.name.strip(): {"status": payer.acceptance, "from": _day(payer.accepted_in)} for payer in PAYERS}


def _day(days: int | None) -> str | None:
    return None if days is None else in_days(days).isoformat()
