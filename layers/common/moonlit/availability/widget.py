"""The widget's questions, answered as the JSON of the HTTP contract."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from sqlalchemy.exc import DBAPIError

import moonlit
from moonlit.availability.answers import (
    AcceptanceAnswer,
    EligibilityAnswer,
    EligibilityRequest,
    EligibleProvider,
    ExcludedAnswer,
    Health,
    PayerAnswer,
    PayerList,
    Person,
    ServiceAnswer,
    ServiceList,
)
from moonlit.availability.slots import local_date
from moonlit.availability.store import Availability, Facts
from moonlit.availability.use_cases import Inquiry, Request, free_slots, inquire
from moonlit.db.engine import Begin
from moonlit.errors import NotFound
from moonlit.payers.rules import Eligible, Excluded, Wish, acceptance, eligible_providers
from moonlit.payers.store import Payers
from moonlit.web.models import Line

_NAME: TypeAdapter[str] = TypeAdapter(Line)
LOOK_AHEAD = timedelta(days=60)


def payers(
    connection: sa.Connection, now: datetime, *, q: str | None, state: str | None, limit: int, after: str | None
) -> PayerList:
    """Return a page of payers by name; `after` is the cursor of the page before."""
    store = Payers(connection)
    today = Availability(connection).today(now)
    page = store.page(q=q, state=state, limit=limit + 1, after=_place(after) if after else None)
    shown = page[:limit]
    contracts = store.contracts([payer.id for payer in shown])
    items = []
    for payer in shown:
        held = contracts.get(payer.id, [])
        status, begins = acceptance(payer, held, {contract.provider_id for contract in held}, today)
        taken = AcceptanceAnswer(status=status, from_=begins)
        items.append(PayerAnswer(id=payer.id, name=payer.name.strip(), type=payer.type, acceptance=taken))
    last = shown[-1] if len(page) > limit else None
    return PayerList(items=items, next_cursor=_cursor(last.name, last.id) if last else None)


def services(connection: sa.Connection, payer_id: UUID) -> ServiceList:
    """Return the services that can be booked with the payer.

    Raises:
        NotFound: No such payer.
    """
    store = Payers(connection)
    if not store.exists(payer_id):
        raise NotFound("no such payer")
    return ServiceList(items=[ServiceAnswer(**row) for row in store.bookable_services(payer_id)])


def eligibility(connection: sa.Connection, body: EligibilityRequest, now: datetime) -> EligibilityAnswer:
    """Return who may be booked on the visit's date; without one, on any day of the next two months.

    Raises:
        NotFound: No such payer, or no such active service.
    """
    facts = Availability(connection).facts(body.payer_id, body.service_id, now)
    if facts.payer is None or (body.service_id and facts.service is None):
        raise NotFound("no such payer" if facts.payer is None else "no such service")
    roster, today = facts.roster(facts.payer), local_date(int(now.timestamp()), facts.zone)
    first = body.visit_date or today
    is_intake = facts.service is not None and facts.service.kind == "intake"
    eligible, excluded = eligible_providers(
        roster,
        Wish(body.state, is_intake, body.language, body.interpreter, body.modality),
        today=today,
        first=first,
        last=body.visit_date or today + LOOK_AHEAD,
    )
    status, begins = roster.acceptance(today)
    return EligibilityAnswer(
        acceptance=AcceptanceAnswer(status=status, from_=begins),
        providers=[_eligible_provider(one, facts, first) for one in eligible],
        excluded=_excluded(excluded),
    )


def availability(connection: sa.Connection, request: Request, now: datetime) -> str:
    """Return the merged slot list as JSON text: a month of it is half a megabyte, too much to build twice.

    Raises:
        NotFound: No such payer, active service, or provider.
    """
    store = Availability(connection)
    inquiry = inquire(store, request, now)
    slots = free_slots(store, inquiry)
    head = {
        "timezone": inquiry.zone,
        "asOf": inquiry.as_of.astimezone(ZoneInfo(inquiry.zone)).isoformat(),
        "providers": [
            {"id": str(one.provider.id), "name": one.provider.name, "languages": one.provider.languages}
            for one in inquiry.eligible
        ],
        "excluded": [found.model_dump() for found in _excluded(inquiry.excluded)],
    }
    return f'{json.dumps(head)[:-1]}, "slots": [{_slots_json(slots, inquiry)}]}}'


def health(begin: Begin) -> Health:
    """Return whether the database answers."""
    try:
        with begin() as connection:
            connection.execute(sa.text("select 1"))
    except (DBAPIError, OSError):
        return Health(status="degraded", version=moonlit.__version__, database="unreachable")
    return Health(status="ok", version=moonlit.__version__, database="ok")


def _slots_json(slots: Mapping[int, Sequence[UUID]], inquiry: Inquiry) -> str:
    zone, minutes = ZoneInfo(inquiry.zone), inquiry.service.duration_minutes
    place = json.dumps(str(inquiry.request.location_id)) if inquiry.request.location_id else "null"
    tail = f'"durationMinutes": {minutes}, "modality": "{inquiry.modality}", "locationId": {place}'
    names = {one.provider.id: f'"{one.provider.id}"' for one in inquiry.eligible}
    return ", ".join(
        f'{{"start": "{_local(start, zone)}", "end": "{_local(start + minutes * 60, zone)}", {tail}, '
        f'"providerIds": [{", ".join(map(names.__getitem__, provider_ids))}]}}'
        for start, provider_ids in slots.items()
    )


def _local(instant: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(instant, UTC).astimezone(zone).isoformat()


def _eligible_provider(one: Eligible, facts: Facts, first: date) -> EligibleProvider:
    basis = one.basis_on(first) or min(one.bases, key=lambda basis: basis.first)
    attending = facts.providers[basis.attending_id] if basis.attending_id else None
    return EligibleProvider(
        id=one.provider.id,
        name=one.provider.name,
        languages=list(one.provider.languages),
        via=basis.via,
        rendering_provider=Person(id=attending.id, name=attending.name) if attending else None,
        bookable_from=max(first, basis.first),
    )


def _excluded(excluded: Counter[Excluded]) -> list[ExcludedAnswer]:
    order = list(Excluded)
    return [ExcludedAnswer(reason=reason, providers=excluded[reason]) for reason in sorted(excluded, key=order.index)]


def _cursor(name: str, payer_id: UUID) -> str:
    return urlsafe_b64encode(json.dumps([name, str(payer_id)]).encode()).decode()


def _place(cursor: str) -> tuple[str, UUID]:
    try:
        name, payer_id = json.loads(urlsafe_b64decode(cursor))
        return _NAME.validate_python(name), UUID(payer_id)
    except (ValueError, TypeError, AttributeError):
        bad: list[Any] = [{"loc": ("query", "cursor"), "type": "cursor"}]
        raise RequestValidationError(bad) from None
