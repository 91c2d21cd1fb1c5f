"""Cross-origin answers of an HTTP API, which gives them itself and drops those of the function; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from local.host.http_events import HttpAnswer
from local.host.template import Cors


def preflight(cors: Cors, method: str, headers: Mapping[str, str]) -> HttpAnswer | None:
    """Return the answer to a preflight request, None for any other; `headers` have lower-case names."""
    asks = method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers
    if not (cors.origins and asks):
        return None
    granted = _granted(cors, headers["origin"])
    if granted:
        granted += [
            ("access-control-allow-methods", ",".join(cors.methods)),
            ("access-control-allow-headers", ",".join(cors.headers)),
        ]
        if cors.max_age_seconds is not None:
            granted.append(("access-control-max-age", str(cors.max_age_seconds)))
    return HttpAnswer(204, [(name, value) for name, value in granted if value])


def with_cors(cors: Cors, origin: str | None, answer: HttpAnswer) -> HttpAnswer:
    """Return `answer` as a caller from `origin` gets it."""
    if not cors.origins:
        return answer
    kept = [(name, value) for name, value in answer.headers if not name.startswith("access-control-")]
    granted = _granted(cors, origin) if origin else []
    if granted and cors.exposed:
        granted.append(("access-control-expose-headers", ",".join(cors.exposed)))
    return replace(answer, headers=kept + granted)


def _granted(cors: Cors, origin: str) -> list[tuple[str, str]]:
    if "*" in cors.origins:
        granted = [("access-control-allow-origin", "*")]
    elif origin in cors.origins:
        granted = [("access-control-allow-origin", origin)]
    else:
        return []
    return granted + ([("access-control-allow-credentials", "true")] if cors.credentials else [])
