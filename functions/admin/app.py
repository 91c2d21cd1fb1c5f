"""What the practice's own people do, signed in. The routes are in moonlit/admin, an area each."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.admin import (
    bookability,
    catalog,
    follow_up,
    instances,
    mappings,
    matching,
    merging,
    organizations,
    patients,
    payers,
    providers,
    provisioning,
    rooms,
    runs,
    settings,
    sync_logs,
    visits,
)
from moonlit.admin.refusals import note_refusal
from moonlit.observability import logger
from moonlit.web.http_api import HttpApi
from moonlit.web.refusals import noting

app = HttpApi(noting(wiring.begin, None, note_refusal))
app.include_router(visits.router)
app.include_router(matching.router)
app.include_router(runs.router)
app.include_router(patients.router)
app.include_router(providers.router)
app.include_router(organizations.router)
app.include_router(provisioning.router)
app.include_router(payers.router)
app.include_router(bookability.router)
app.include_router(instances.router)
app.include_router(rooms.router)
app.include_router(catalog.router)
app.include_router(follow_up.router)
app.include_router(settings.router)
app.include_router(sync_logs.router)
app.include_router(mappings.router)
app.include_router(merging.router)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway event."""
    wiring.deadline.start(context)
    return app.resolve(event, context)
