"""Apply stored webhook events to the visits that they are about."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.records import each_record
from moonlit.sync.wiring import applier


def apply(message: dict[str, Any]) -> None:
    """Apply one event."""
    applier().apply(UUID(message["eventId"]))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through the records and return those that failed."""
    wiring.deadline.start(context)
    return each_record(event, context, apply)
