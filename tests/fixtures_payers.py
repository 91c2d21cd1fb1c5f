"""Payers over HTTP, as an admin of the practice behind the functions sends and sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from moonlit.db import tables as t
from tests.fixtures_booking import INES, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions
from tests.fixtures_mirror import add_patient, as_admin

OTHER = UUID(int=0x12)  # A third provider, whom no contract knows.


@dataclass(frozen=True)
class Answer:
    """An answer as a program sees it."""

    status: int
    said: Any
    headers: Mapping[str, str]

    @property
    def slug(self) -> str:
        return str(self.said["type"]).rpartition("/")[2]

    @property
    def faults(self) -> list[tuple[str, str]]:
        """What was malformed, as pointers and codes."""
        assert (self.status, self.slug) == (422, "malformed-request"), self.said
        return [(each["pointer"], each["code"]) for each in self.said["errors"]]


def ask(
    functions: Functions,
    name: str,
    body: Any = None,
    *,
    query: Mapping[str, str] | None = None,
    if_match: str | None = None,
    **path: Any,
) -> Answer:
    """Send the sample `admin/<name>` as an admin, with another body, query, state or other ids in the path."""
    event = as_admin(f"admin/{name}", None if body is None else json.dumps(body, default=str), **path)
    event["queryStringParameters"] = dict(query or {})
    event["rawQueryString"] = "&".join(f"{key}={value}" for key, value in (query or {}).items())
    event["headers"].pop("if-match", None)
    if if_match is not None:
        event["headers"]["if-match"] = if_match
    answer = functions.call("admin", event)
    text = answer.get("body") or "null"
    return Answer(answer["statusCode"], json.loads(text), {k.lower(): v for k, v in answer["headers"].items()})


def create(functions: Functions, **body: Any) -> Answer:
    return ask(functions, "create_payer", {"name": "Juniper Health", "type": "private", **body})


def read(functions: Functions, payer_id: UUID = PAYER) -> Answer:
    return ask(functions, "payer", payerId=payer_id)


def change(
    functions: Functions, *, dry_run: bool = False, if_match: str = "*", payer: Any = PAYER, **body: Any
) -> Answer:
    """Send Cedar Health, or another payer, as it stands but for `body`; lists that are not named are left out."""
    sent = {"name": "Cedar Health", "type": "private", "statusCode": "approved", "state": "UT", **body}
    query = {"dryRun": "true"} if dry_run else None
    return ask(functions, "change_payer", sent, query=query, if_match=if_match, payerId=payer)


def contract(provider_id: UUID = INES, first: str | None = "2026-01-01", last: str | None = None, **more: Any) -> Any:
    return {"providerId": str(provider_id), "effectiveDate": first, "endDate": last, "status": "active", **more}


def supervision(
    resident: UUID, attending: UUID, first: str = "2026-01-01", last: str | None = None, **more: Any
) -> Any:
    ids = {"residentId": str(resident), "attendingId": str(attending), "level": "sign_off_only"}
    return ids | {"effectiveDate": first, "endDate": last, **more}


def add_provider(functions: Functions, provider_id: UUID = OTHER, **values: Any) -> UUID:
    row = {
        "id": provider_id, "name": " Noor Castellan ", "ehr_system": "intakeq", "timezone": "America/Denver",
        "license_states": ["UT"], "native_langs": ["en"], **values,
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.providers).values(row))
    return provider_id


def add_visit(functions: Functions, provider_id: UUID = INES, start: datetime = TEN, **values: Any) -> UUID:
    """Store a visit of a patient of its own."""
    row = {
        "id": uuid4(), "patient_id": add_patient(functions), "provider_id": provider_id, "payer_id": PAYER,
        "service_id": SERVICE_ID, "start": start, "end": start + timedelta(hours=1), "status": "confirmed",
        "system": "intakeq", "created_at": TEN, "updated_at": TEN, **values,
    }  # fmt: skip
    with functions.begin() as connection:
        connection.execute(sa.insert(t.appointments).values(row))
    return UUID(str(row["id"]))
