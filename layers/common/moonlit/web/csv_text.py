"""Tables as CSV (RFC 4180), safe to open with a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from moonlit.web.malformed import in_query

JSON, CSV = "application/json", "text/csv"
LARGEST_BYTES = 6_000_000  # Of an answer as JSON; Lambda takes 6 MiB.
_CONTENT_TYPE = f"{CSV}; charset=utf-8"
# How a cell begins that a spreadsheet takes for a formula and works out.
_FORMULAS = (
    "=", "+", "-", "@", "\t", "\r", "\n",
    "\uff1d", "\uff0b", "\uff0d", "\uff20",  # The first four once more, in full width.
)  # fmt: skip

type Cell = str | int | float | datetime | None


def written(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return the table: a header row, then the rows; instants in RFC 3339, nothing for None."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(header)
    table.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def answer(text: str, name: str, **headers: str) -> Response[str]:
    """Return a table as an answer that browsers save under `name`.

    Raises:
        RequestValidationError: It is larger than what a Lambda can answer: ask for fewer days.
    """
    if len(json.dumps(text)) > LARGEST_BYTES:  # Quotes, line ends and, in some runtimes, all but ASCII are escaped.
        raise too_many_rows()
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(200, _CONTENT_TYPE, text, {"content-disposition": f'attachment; filename="{name}"', **told})


def too_many_rows() -> RequestValidationError:
    """Return what to raise for a table that is too long for one answer."""
    return in_query("too_many_rows", "from")


def _cell(value: Cell) -> str | int | float:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return "" if value is None else value
