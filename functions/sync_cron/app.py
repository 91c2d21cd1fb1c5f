"""Open a sync run, pull what changed from the EHR once, and send each organization's part to its worker."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.records import each_record
from moonlit.sync.request import SyncRequest
from moonlit.sync.wiring import nightly


def go_on(message: dict[str, Any]) -> None:
    """Take up a pull where it stopped."""
    nightly().go_on(UUID(message["runId"]))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run the sync, or go on with the runs that the records name.

    Returns:
        For a direct call the run as it stands, finished if that took no longer than `waitSeconds`; for records those
        that failed.
    """
    wiring.deadline.start(context)
    if "Records" in event:
        return each_record(event, context, go_on)
    request = SyncRequest.model_validate(event)
    run_id = nightly().start(request.sync_type, confirm_brake=request.confirm_brake)
    nightly().wait(run_id, request.wait_seconds)
    summary = nightly().summary(run_id)
    logger.info("sync_run", run_id=str(run_id), state=summary["state"], requests_used=summary["requestsUsed"])
    return summary
