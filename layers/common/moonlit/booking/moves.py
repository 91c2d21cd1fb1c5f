"""What a move remembers until the EHR has taken it: where the visit was, and the time it claims before and after.

While a move is under way the visit claims both times, so that neither is sold before it is clear which one it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from moonlit.booking.claims import Claim

COLUMNS = (
    "provider_id",
    "rendering_provider_id",
    "co_visit",
    "service_instance_id",
    "location_id",
    "room_id",
    "start",
    "end",
    "status",
    "modality",
    "system",
    "meeting_url",
)  # Of `appointments`: what a move changes.
_INSTANTS = ("start", "end")


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one move.

    Attributes:
        before: `COLUMNS` of the visit as it was.
        claims_before: The time that it claimed.
        claims_after: The time that it will claim.
        account_id: The EHR account in which it was.
        external_id: Its id there.
        client_id: The patient's id there.
    """

    before: Mapping[str, Any]
    claims_before: Sequence[Claim]
    claims_after: Sequence[Claim]
    account_id: UUID
    external_id: str
    client_id: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the record for the ledger."""
        return {
            "before": {name: _plain(self.before[name]) for name in COLUMNS},
            "claims_before": [claim.as_json() for claim in self.claims_before],
            "claims_after": [claim.as_json() for claim in self.claims_after],
            "account_id": str(self.account_id),
            "external_id": self.external_id,
            "client_id": self.client_id,
        }

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the record that `as_json` stored."""
        return cls(
            {name: _rich(name, value) for name, value in record["before"].items()},
            [Claim.of_json(claim) for claim in record["claims_before"]],
            [Claim.of_json(claim) for claim in record["claims_after"]],
            UUID(record["account_id"]),
            record["external_id"],
            record["client_id"],
        )


def _rich(name: str, value: Any) -> Any:
    if name in _INSTANTS:
        return datetime.fromisoformat(value)
    return UUID(value) if value and name.endswith("_id") else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
