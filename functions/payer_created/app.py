"""Make a new payer bookable, as soon as the bus tells of it."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.provisioning import wiring as provisioning
from moonlit.provisioning.request import PayerCreated


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Give the payer what it lacks; a failure is for Lambda to repeat, and then to put where somebody looks."""
    wiring.deadline.start(context)
    return provisioning.provision_new(PayerCreated.model_validate(event["detail"]))
