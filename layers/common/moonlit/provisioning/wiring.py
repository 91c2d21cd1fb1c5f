"""Puts provisioning together for a process."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from moonlit import wiring
from moonlit.access.store import Users
from moonlit.audit.store import Actor
from moonlit.errors import MoonlitError
from moonlit.provisioning import answers
from moonlit.provisioning.answers import RunShown
from moonlit.provisioning.errors import BackfillRefused
from moonlit.provisioning.request import BackfillRequest, PayerCreated
from moonlit.provisioning.undoing import Undoing
from moonlit.provisioning.use_cases import Provisioner


def provisioner() -> Provisioner:
    """Return what makes payers bookable."""
    return Provisioner(wiring.begin(), wiring.clock(), wiring.practice_zone(), wiring.deadline.seconds_left)


def undoing() -> Undoing:
    """Return what takes runs back."""
    return Undoing(wiring.begin(), wiring.clock())


def shown(run_id: UUID, cursor: str | None = None) -> RunShown:
    """Return a run as it stands.

    Raises:
        NotFound: There is no such run.
    """
    zone, now = wiring.practice_zone(), wiring.clock().now()
    with wiring.begin()() as connection:
        return answers.shown(connection, run_id, zone, now, cursor=cursor)


def backfill(request: BackfillRequest) -> dict[str, Any]:
    """Do what a direct call asks for and return the run, ready for JSON.

    Raises:
        BackfillRefused: Nobody who may do this has the address, there is no such run or payer, or a rule says no.
    """
    with wiring.begin()() as connection:
        admin = Users(connection).admin_at(request.requested_by)
    if admin is None:
        raise BackfillRefused("requestedBy has to be the address of an admin")
    try:
        run_id = _done(request, Actor("staff", admin))
    except MoonlitError as error:
        raise BackfillRefused(" ".join(filter(None, _told(error)))) from None
    return shown(run_id).model_dump(mode="json", by_alias=True)


def _done(request: BackfillRequest, actor: Actor) -> UUID:
    match request.wish():
        case UUID() as run_id:
            undoing().undo(run_id, actor)
            return run_id
        case run:
            return provisioner().run(run, actor)


def _told(error: MoonlitError) -> tuple[str, str, str]:
    """Return what a caller who gets no problem document is told: what it is, about which ids."""
    return f"{error.slug}: {error.title}.", error.detail, json.dumps(error.extra) if error.extra else ""


def provision_new(event: PayerCreated) -> dict[str, Any]:
    """Give a new payer what it lacks, and return the run, null when it lacks nothing.

    Raises:
        ProvisioningIncomplete: Something could not be made.
    """
    run_id = provisioner().provision_new(
        event.payer_id, event.event_id, Actor("system", request_id=str(event.event_id))
    )
    return {"runId": run_id and str(run_id)}
