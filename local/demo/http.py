"""HTTP as the demo speaks it: JSON out, JSON in, and no answer is a finding, not a crash."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from local.demo.report import NotHeld

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came back with; `body` is parsed JSON, None when there was none."""

    status: int
    body: Any

    @property
    def slug(self) -> str:
        """What a problem document calls its problem."""
        return str(self.body.get("type", "")).rpartition("/")[2] if isinstance(self.body, Mapping) else ""


def call(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a request and return the answer, whatever its status.

    Raises:
        NotHeld: Nobody answers.
    """
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} if data is not None else {}
    request = urllib.request.Request(url, method=method, data=data, headers=sent | dict(headers or {}))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return Answer(answer.status, _parsed(answer.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, _parsed(error.read()))
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NotHeld(
            f"{urlsplit(url).netloc} answers {method} {urlsplit(url).path}",
            expected="an answer",
            seen=type(reason).__name__,
        ) from None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
