"""Make payers bookable from a direct call: show what it takes, do it, or take it back."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.provisioning import wiring as provisioning
from moonlit.provisioning.request import BackfillRequest


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Provision, or undo a run, in the name of the admin who asks; return the run as the HTTP API does."""
    wiring.deadline.start(context)
    return provisioning.backfill(BackfillRequest.model_validate(event))
