"""Open a sync run of each EHR, pull what changed once, and send each organization's part to its worker."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.records import each_record
from moonlit.sync.request import SyncRequest
from moonlit.sync.wiring import nights


def go_on(message: dict[str, Any]) -> None:
    """Take up a pull where it stopped."""
    nights().go_on(UUID(message["runId"]))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run the sync, or go on with the runs that the records name.

    Returns:
        For a direct call the run as it stands, or all of them, finished if that took no longer than `waitSeconds`; for
        records those that failed.
    """
    wiring.deadline.start(context)
    if "Records" in event:
        return each_record(event, context, go_on)
    request = SyncRequest.model_validate(event)
    return nights().run(
        request.sync_type,
        confirm_brake=request.confirm_brake,
        wait_seconds=request.wait_seconds,
        days=request.repair.window() if request.repair else None,
    )
