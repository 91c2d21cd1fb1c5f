"""What the practice offers: how long it takes, what it is billed as, and where it can be given."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import Field

from moonlit.catalog.errors import ServiceIsDefault, ServiceNameTaken
from moonlit.catalog.shelf import Kept, Kind
from moonlit.catalog.values import BillingCode, Buffer, Money, Once
from moonlit.db.tables import practice_settings, services
from moonlit.web.models import Flag, Line, Modality, Model

LONGEST_NOTICE = 100_000
ServiceKind = Literal["intake", "follow_up", "injection", "assessment", "psychotherapy", "consultation"]


class ServiceWanted(Model):
    """A service as somebody wants it, all of it: what is left out has its default."""

    name: Line
    kind: ServiceKind
    duration_minutes: Annotated[int, Field(ge=5, le=1440, strict=True)]
    buffer_before_minutes: Buffer = 0
    buffer_after_minutes: Buffer = 0
    min_notice_minutes: Annotated[int, Field(ge=0, le=LONGEST_NOTICE, strict=True)] | None = None
    codes: Annotated[list[BillingCode], Field(max_length=20), Once] = Field(default_factory=list)
    base_rate: Money | None = None
    modality: Modality
    room_required: Flag = False
    dose_required: Flag = False
    is_active: Flag = True


class ServiceKept(Kept):
    """A service. `minNoticeMinutes` null: the practice's own; `baseRate` null: it has no price."""

    name: str
    kind: ServiceKind
    duration_minutes: int
    buffer_before_minutes: int
    buffer_after_minutes: int
    min_notice_minutes: int | None
    codes: list[str]
    base_rate: Money | None
    modality: Modality
    room_required: bool
    dose_required: bool
    is_active: bool


class ServicePage(Model):
    """A page of services by name, those that are out of use included."""

    items: list[ServiceKept]
    next_cursor: str | None


def _check(connection: sa.Connection, wanted: ServiceWanted, before: ServiceKept | None, _: datetime) -> None:
    """Refuse a second active service of one name, and to take a default service out of use.

    Clinics come with services of one name: who changes something else about them is not held up.
    """
    if not wanted.is_active:
        if before and before.is_active and _is_default(connection, before.id):
            raise ServiceIsDefault(f"service {before.id}: take it out of the settings first")
        return
    if before and before.is_active and _folded(before.name) == _folded(wanted.name):
        return
    named_so = sa.func.lower(sa.func.btrim(services.c.name)) == sa.func.lower(wanted.name.strip())
    query = sa.select(services.c.id).where(services.c.is_active, named_so).order_by(services.c.id)
    others = connection.execute(query).scalars()
    if other := next((each for each in others if before is None or each != before.id), None):
        raise ServiceNameTaken(f"service {other} has it")


def _folded(name: str) -> str:
    return name.strip().lower()


def _is_default(connection: sa.Connection, service_id: UUID) -> bool:
    is_among = practice_settings.c.default_services.contains([{"service_id": str(service_id)}])
    return bool(connection.execute(sa.select(sa.exists().where(is_among))).scalar_one())


def _row(wanted: ServiceWanted) -> dict[str, Any]:
    return {"base_rate": None if wanted.base_rate is None else Decimal(wanted.base_rate)}


SERVICES = Kind("service", services, services.c.name, ServiceKept, _check, _row)


def of_use(is_active: bool | None) -> list[sa.ColumnElement[bool]]:  # noqa: FBT001  # Null is both.
    """Return the condition of a list of services: those in use, those out of use, or all."""
    return [] if is_active is None else [services.c.is_active.is_(is_active)]
