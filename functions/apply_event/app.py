"""Apply stored webhook events to the visits that they are about."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.records import each_record
from moonlit.sync.replay import ReplayRequest
from moonlit.sync.wiring import applier, replayer


def apply(message: dict[str, Any]) -> None:
    """Apply one event."""
    applier().apply(UUID(message["eventId"]))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through the records and return those that failed; or, called directly, queue stored events again."""
    wiring.deadline.start(context)
    if "Records" in event:
        return each_record(event, context, apply)
    return replayer().replay(ReplayRequest.model_validate(event))
