"""What every HTTP function shares: strict input, problem documents, request ids."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestUnsupportedContentType, RequestValidationError
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError

from moonlit.db.engine import CONTENDED, sqlstate
from moonlit.errors import Contended, MoonlitError
from moonlit.observability import logger
from moonlit.web import problems

LONGEST_BODY = 256 * 1024
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class HttpApi(APIGatewayHttpResolver):
    """Powertools' resolver for HTTP APIs, with this project's errors and refusals."""

    def __init__(self, noting: Callable[[HttpApi, HTTPStatus, str], None] | None = None) -> None:
        """Make it; `noting` is told of every refusal, its status and its slug, before it is answered."""
        super().__init__(enable_validation=True, json_body_deserializer=_strict_json)
        self._noting = noting
        self.use([_refuse_unknown_parameters])
        self.exception_handler(MoonlitError)(self._expected)
        self.exception_handler(RequestValidationError)(self._malformed)
        self.exception_handler([UnicodeDecodeError, binascii.Error])(_not_text)
        self.exception_handler(RequestUnsupportedContentType)(lambda _: _not_json())
        self.exception_handler(ServiceError)(_not_served)
        self.exception_handler(DBAPIError)(_database_refused)
        self.exception_handler(Exception)(_unexpected)

    def resolve(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """Answer one event of an HTTP API, payload 2.0."""
        _take_no_forms(event["headers"])
        answer = super().resolve(event, context)
        answer["headers"]["x-request-id"] = event["requestContext"]["requestId"]
        return answer

    def _expected(self, error: MoonlitError) -> Response[str]:
        logger.info("request_refused", slug=error.slug)
        self._note(error.status, error.slug)
        return problems.of(error)

    def _malformed(self, error: RequestValidationError) -> Response[str]:
        self._note(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed-request")
        return problems.malformed(error)

    def _note(self, status: HTTPStatus, slug: str) -> None:
        if self._noting:
            self._noting(self, status, slug)


def new_router() -> APIGatewayHttpRouter:
    """Return what keeps the routes of one area until an `HttpApi` includes them."""
    return APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # Powertools has no types for it.


def answer(model: BaseModel, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response[str]:
    """Return a model as the answer. It is text already, so that Powertools does not validate it a second time."""
    return Response(
        status_code=status,
        content_type="application/json",
        body=model.model_dump_json(by_alias=True),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def _strict_json(body: str) -> Any:
    """Parse a body; whatever is wrong with it is a JSONDecodeError, which becomes a 422."""
    if len(body) > LONGEST_BODY:
        raise json.JSONDecodeError("too long", "", 0)
    try:
        parsed = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_each_name_once)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError):  # A number of thousands of digits, or a list in a list in a list.
        raise json.JSONDecodeError("too deep", "", 0) from None
    if isinstance(parsed, list):  # Powertools would take the first item for the body, and pass over the others.
        raise json.JSONDecodeError("no object", "", 0)
    return parsed


def _each_name_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's members; of two with one name nobody can tell which was meant.

    Members are in camelCase. Pydantic takes our own names of them too, so what has an underscore is made unknown.
    """
    named = {f"{name} " if "_" in name else name: value for name, value in members}
    if len(named) < len(members):
        raise json.JSONDecodeError("a name twice", "", 0)
    return named


def _no_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)


def _refuse_unknown_parameters(app: APIGatewayHttpResolver, next_middleware: NextMiddleware) -> Response[Any]:
    """Answer 422 to a query parameter that the route does not have: a misspelt filter must not be ignored."""
    known = {parameter.alias for parameter in app.context["_route"].dependant.query_params}
    unknown = sorted(set(app.current_event.query_string_parameters or {}) - known)
    if unknown:
        errors: list[Any] = [{"loc": ("query", name), "type": problems.UNKNOWN} for name in unknown]
        raise RequestValidationError(errors)
    return next_middleware(app)


def _take_no_forms(headers: dict[str, str]) -> None:
    """Have a form refused as any other body that is not JSON: Powertools would parse it, and stumble over some."""
    if headers.get("content-type", "").strip().lower().startswith(FORMS):
        headers["content-type"] = "application/octet-stream"


def _not_text(_: ValueError) -> Response[str]:
    return problems.malformed(RequestValidationError([{"loc": ("body",), "type": "unicode"}]))


def _not_json() -> Response[str]:
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return problems.document(status, "unsupported-media-type", "Bodies are application/json")


def _not_served(error: ServiceError) -> Response[str]:
    status = HTTPStatus(error.status_code)
    return problems.document(status, status.phrase.lower().replace(" ", "-"), status.phrase)


def _database_refused(error: DBAPIError) -> Response[str]:
    """Tell who lost to others that they may ask again; the rest is a bug."""
    return problems.of(Contended("ask again")) if sqlstate(error) in CONTENDED else _unexpected(error)


def _unexpected(error: Exception) -> Response[str]:
    """Log a bug by type and place: its text may quote what was sent."""
    places, trace = [], error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    logger.error("unexpected_error", error=type(error).__name__, places=places[-8:])
    return problems.document(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", MoonlitError.title)
