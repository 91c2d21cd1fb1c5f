"""Take webhooks in: verify, store, queue, answer; nothing else."""

from __future__ import annotations

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.sync.wiring import athena_receiver, receiver
from moonlit.web.http_api import HttpApi, answer
from moonlit.web.models import Model
from moonlit.web.problems import responses
from moonlit.web.raw import raw_body

app = HttpApi()


class Received(Model):
    """An empty object: the sender needs to know no more."""


@app.post("/webhooks/intakeq/<secret>", responses=responses(400, 401, 404, success={200: Received}), tags=["Webhooks"])
def intakeq(secret: Annotated[str, Path()]) -> Response[str]:
    """Store an appointment event of IntakeQ. The secret in the path is all that proves the sender."""
    receiver().receive(secret, raw_body(app.current_event))
    return answer(Received())


@app.post("/webhooks/athena", responses=responses(400, 401, success={200: Received}), tags=["Webhooks"])
def athena() -> Response[str]:
    """Store what an event subscription of athenahealth delivers, signed with `X-Hub-Signature` over the raw body."""
    athena_receiver().receive(app.current_event.headers.get("x-hub-signature"), raw_body(app.current_event))
    return answer(Received())


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway event."""
    wiring.deadline.start(context)
    return app.resolve(event, context)
