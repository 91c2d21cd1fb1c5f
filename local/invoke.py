"""`make invoke FUNCTION=sync_cron PAYLOAD='{}'`: call a function of the running stack as boto3 would in the cloud."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from local.aws import client
from local.state import NoStack, State

LONGEST_SECONDS = 900  # No function runs longer.


def invoke(environment: Mapping[str, str]) -> int:
    """Call FUNCTION with PAYLOAD and print its answer; 1 when it failed or was not reached."""
    name = environment.get("FUNCTION")
    if not name:
        print("Which function? make invoke FUNCTION=sync_cron PAYLOAD='{}'", file=sys.stderr)
        return 1
    try:
        url = State.of(environment).description()["lambdaUrl"]
        lambda_ = client("lambda", url, read_seconds=LONGEST_SECONDS)
        answer = lambda_.invoke(FunctionName=name, Payload=environment.get("PAYLOAD") or "{}")
    except (NoStack, ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(json.loads(answer["Payload"].read() or b"null"), indent=2))
    return 1 if "FunctionError" in answer else 0


if __name__ == "__main__":
    sys.exit(invoke(os.environ))
