"""Bring one organization's patients up to date from the mirror, without asking the EHR."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit import wiring
from moonlit.observability import logger
from moonlit.records import each_record
from moonlit.sync import wiring as sync


def bring_up_to_date(message: dict[str, Any]) -> None:
    """Apply one part of a run; what time does not allow goes on by another message."""
    finished = sync.organizations().bring_up_to_date(UUID(message["syncLogId"]))
    if not finished:
        sync.queue("sync_url").send([message])


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through the records and return those that failed."""
    wiring.deadline.start(context)
    return each_record(event, context, bring_up_to_date)
