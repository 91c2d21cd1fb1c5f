"""Messages of a queue, one by one or together: those that fail come again, the others do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
            logger.error("record_failed", message_id=record.message_id, **_told(error))
            raise

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return dict(process_partial_response(event, handle, processor, context))


def all_records(
    event: dict[str, Any], context: LambdaContext, work: Callable[[Sequence[dict[str, Any]]], None]
) -> dict[str, Any]:
    """Do `work` with the JSON bodies of all records at once, or with each alone when that fails.

    What can be done twice only: some of it may be done already when it fails.
    """
    records = event["Records"]
    if len(records) > 1:
        try:
            work([json.loads(record["body"]) for record in records])
        except Exception as error:  # noqa: BLE001  # Which of them it is shows when each stands alone.
            logger.warning("records_taken_apart", records=len(records), **_told(error))
        else:
            return {"batchItemFailures": []}
    return each_record(event, context, lambda body: work([body]))


def _told(error: Exception) -> dict[str, Any]:
    """Return an error's type and code only: its text may quote what was stored."""
    return {"error": type(error).__name__, "sqlstate": sqlstate(error) if isinstance(error, DBAPIError) else None}
