"""Bring organizations' patients up to date from the mirror, without asking the EHR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.records import all_records
from moonlit.sync import wiring as sync


def bring_up_to_date(messages: Sequence[dict[str, Any]]) -> None:
    """Apply parts of runs; what time does not allow goes on by messages."""
    by_log = {UUID(message["syncLogId"]): message for message in messages}
    if left := sync.organizations().bring_all_up_to_date(by_log.keys()):
        sync.queue("sync_url").send([by_log[log_id] for log_id in left])


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through the records and return those that failed."""
    wiring.deadline.start(context)
    return all_records(event, context, bring_up_to_date)
