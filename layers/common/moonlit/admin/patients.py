"""What staff do for one patient."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from moonlit import wiring
from moonlit.audit.store import Audit
from moonlit.sync import wiring as sync
from moonlit.sync.own_patients import expect_own
from moonlit.sync.request import RefreshBody
from moonlit.sync.single_answer import PatientSynced, patient_synced
from moonlit.web import auth
from moonlit.web.http_api import answer, new_router
from moonlit.web.problems import responses

router = new_router()


@router.post(
    "/admin/patients/<patient_id>/sync",
    responses=responses(401, 403, 404, 409, 503, success={200: PatientSynced}),
    security=auth.SIGNED_IN,
    tags=["Admin"],
)
def sync_patient(
    patient_id: Annotated[UUID, Path()], body: Annotated[RefreshBody | None, Body()] = None
) -> Response[str]:
    """Bring a patient up to date at once, asking the EHR for them alone; providers do so for their own patients."""
    staff = auth.require(wiring.begin(), router.current_event, "admin", "provider")
    actor = auth.actor(staff, router.current_event)
    if staff.role == "provider":
        with wiring.begin()() as connection:
            expect_own(connection, patient_id, staff.provider_id)
    done = sync.single_patient().refresh(patient_id, actor, body.window() if body else None)
    zone = wiring.practice_zone()
    with wiring.begin()() as connection:
        told = patient_synced(connection, patient_id, done, zone)
        Audit(connection, actor, done.at).read("patient_sync", [patient_id], patient_id)
    return answer(told)
