"""The HTTP API keeps to its own document: whatever is sent, no 5xx, and no answer that the document does not describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from local import demo_data
from tests.conftest import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("document")]

EXAMPLES = 4
CLINIC = demo_data.clinic()
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
document = schemathesis.openapi.from_path(ROOT / "layers/common/moonlit/web/openapi.json")


def token_for(path: str, tokens: Mapping[str, str]) -> str:
    """Return the token of somebody who may ask there."""
    people = CLINIC["partner_users"] if path.startswith("/partner-dashboard") else CLINIC["staff_users"]
    return tokens[people[0]["email"]]


@document.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
          suppress_health_check=list(HealthCheck))  # fmt: skip
def test_an_operation_answers_what_the_document_says(case: schemathesis.Case[Any], stack: Mapping[str, Any]) -> None:
    case.headers["Authorization"] = f"Bearer {token_for(case.path, stack['tokens'])}"
    case.call_and_validate(base_url=stack["apiUrl"], checks=CHECKS)
