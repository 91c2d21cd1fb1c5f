"""What the steps act on, and what earlier ones leave to later ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from local.demo.ehr import Ehr
from local.demo.http import Answer
from local.demo.report import hold, require
from local.demo.site import Site
from local.options import Options

WEEKS = timedelta(days=30)

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that one provider has free slots of, for members of one payer in one state."""

    payer: Json
    service: Json
    state: str
    provider: Json
    practitioner_id: str

    def booking(self, start: str, number: int) -> dict[str, Any]:
        """Return the body of a booking for the invented patient of that number.

        The EHR takes one first name and one phone for one person, so each has their own.
        """
        return {
            "payerId": self.payer["id"],
            "serviceId": self.service["id"],
            "providerId": self.provider["id"],
            "start": start,
            "state": self.state,
            "patient": {
                "firstName": f"Guest{number}",
                "lastName": "Invented",
                "dateOfBirth": "1990-01-01",
                "email": f"guest{number}.invented@example.org",
                "phone": f"801-555-01{number:02}",
            },
            "consents": {"email": True, "sms": False},
        }


@dataclass(frozen=True, slots=True)
class Booked:
    """A visit that was booked here, as it was answered."""

    answer: Json

    @property
    def external_id(self) -> str:
        """Its id in the EHR."""
        return str(self.answer["ehr"]["externalId"])

    @property
    def start(self) -> datetime:
        """When it begins."""
        return datetime.fromisoformat(self.answer["start"])


@dataclass(slots=True)
class Demo:
    """One telling: the files it began with, the running stack, the EHR behind it."""

    options: Options
    logs: Path
    site: Site
    ehr: Ehr
    start_seconds: float
    offer: Offer | None = None
    booked: Booked | None = None

    def coming_weeks(self) -> tuple[date, date]:
        """Return tomorrow and the last of the days to look for slots on, as the practice counts days."""
        zone = ZoneInfo(self.options.clinic["practice"]["timezone"])
        tomorrow = self.site.now().astimezone(zone).date() + timedelta(days=1)
        return tomorrow, tomorrow + WEEKS

    def payers(self) -> Iterator[Json]:
        """Yield every payer as the widget lists them."""
        query: dict[str, Any] = {"limit": 200}
        while True:
            page = self.site.get("/payers", **query)
            yield from page["items"]
            if page["nextCursor"] is None:
                return
            query["cursor"] = page["nextCursor"]

    def slots(self, payer_id: str, service_id: str, state: str, **more: Any) -> Json:
        """Return what `GET /availability` answers for the coming weeks."""
        first, last = self.coming_weeks()
        asked = {"payerId": payer_id, "serviceId": service_id, "state": state, "from": first, "to": last, **more}
        return dict(self.site.get("/availability", **asked))

    def next_start(self, offer: Offer) -> str:
        """Return the first start that the offer's provider still has free."""
        only = {"providers[]": offer.provider["id"]}
        slots = self.slots(offer.payer["id"], offer.service["id"], offer.state, **only)["slots"]
        require(bool(slots), "the provider has a free slot", expected="a slot", seen="none")
        return str(slots[0]["start"])

    def book(self, body: Json, key: str | None = None) -> Answer:
        """Send a booking, under a key of its own unless one is given."""
        return self.site.api("POST", "/appointments", body, headers={"Idempotency-Key": key or uuid4().hex})

    def shown(self, answer: Json) -> Json:
        """Return a visit as its patient sees it now, by the manage token of the answer to its booking."""
        found = self.site.api(
            "GET",
            f"/appointments/{answer['appointmentId']}",
            headers={"Authorization": f"Bearer {answer['manageToken']}"},
        )
        hold("the manage token opens the visit", expected=200, seen=found.status)
        return dict(found.body)


type Step = Iterator[str]
"""The lines of a step, which raises what does not hold (see report.py)."""
