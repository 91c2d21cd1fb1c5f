"""Messages of a queue, one by one: those that fail come again, the others do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from sqlalchemy.exc import DBAPIError

from moonlit.db.engine import sqlstate
from moonlit.observability import logger


def each_record(
    event: dict[str, Any], context: LambdaContext, work: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Do `work` with the JSON body of every record and return which of them failed, as SQS expects it."""

    def handle(record: SQSRecord) -> None:
        try:
            work(record.json_body)
        except Exception as error:
            # By type and code only: the text may quote what was stored.
            code = sqlstate(error) if isinstance(error, DBAPIError) else None
            logger.error("record_failed", message_id=record.message_id, error=type(error).__name__, sqlstate=code)
            raise

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return dict(process_partial_response(event, handle, processor, context))
