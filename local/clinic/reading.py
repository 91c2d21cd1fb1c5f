"""From JSON to well-formed rows: shapes, types and single values. How rows fit together is for `checks`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from local.clinic.practice import Practice
from local.clinic.problems import ClinicRefused, Problem, identity
from local.clinic.row import Row
from local.clinic.rows import KINDS
from local.clinic.values import Instant

IGNORED = "sync_logs"
_REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "uuid_parsing": "is not a UUID",  # The library's own text quotes a character of the value.
}


@dataclass(frozen=True, slots=True)
class Clinic:
    """A whole file with every row well formed.

    Attributes:
        as_of: The instant that the file describes.
        rows: The rows of each kind in KINDS, in the file's order.
        ignored_sync_logs: How many rows of an earlier export's history are left out.
    """

    as_of: datetime
    practice: Practice
    rows: Mapping[str, list[Any]]
    ignored_sync_logs: int


def read_file(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ClinicRefused: It cannot be read, or is no JSON object; the reason names line and column.
    """
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except OSError as error:
        raise _refused(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _refused(f"is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise _refused(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _refused("is not JSON that can be read: too deeply nested") from None
    if not isinstance(content, dict):
        raise _refused("is not a JSON object")
    return content


def parse(content: Mapping[str, Any]) -> Clinic:
    """Return the file's rows, each valid by itself.

    Raises:
        ClinicRefused: With every problem, in the file's order.
    """
    known = {"as_of", "practice", IGNORED, *KINDS}
    problems = [Problem("file", None, None, f"{key} is not a known key") for key in content if key not in known]
    as_of = _single("as_of", Instant, content, problems)
    practice = _single("practice", Practice, content, problems)
    rows = {table: _rows(table, kind, content.get(table, []), problems) for table, kind in KINDS.items()}
    logs = content.get(IGNORED, [])
    if not isinstance(logs, list):
        problems.append(Problem(IGNORED, None, None, "is not a list"))
    if problems:
        raise ClinicRefused(problems)
    return Clinic(as_of, practice, rows, len(logs))


def _single(key: str, kind: Any, content: Mapping[str, Any], problems: list[Problem]) -> Any:
    if key not in content:
        problems.append(Problem("file", None, None, f"{key} is missing"))
        return None
    try:
        return TypeAdapter(kind).validate_json(json.dumps(content[key]))
    except ValidationError as error:
        problems += [Problem(key, None, None, _reason(detail, detail["loc"])) for detail in _details(error)]
        return None


def _rows(table: str, kind: type[Row], raw: Any, problems: list[Problem]) -> list[Row]:
    """Return the rows of one list, or note what is wrong with each of them."""
    try:
        # Read back as JSON, because only there do strict models still take text for ids and money.
        return TypeAdapter(list[kind]).validate_json(json.dumps(raw))  # type: ignore[valid-type]
    except ValidationError as error:
        problems += [_problem(table, raw, detail) for detail in _details(error)]
        return []


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _problem(table: str, raw: Any, detail: ErrorDetails) -> Problem:
    if not detail["loc"]:
        return Problem(table, None, None, _reason(detail, ()))
    index = int(detail["loc"][0])
    return Problem(table, index, identity(raw[index]), _reason(detail, detail["loc"][1:]))


def _reason(detail: ErrorDetails, where: Iterable[int | str]) -> str:
    said = _REASONS.get(detail["type"], detail["msg"][:1].lower() + detail["msg"][1:])
    field = ".".join(map(str, where))
    return f"{field}: {said}" if field else said


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: the first value would be lost without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise _refused("an object names the same key twice")
    return content


def _no_number(constant: str) -> float:
    raise _refused(f"{constant} is not a number")


def _refused(reason: str) -> ClinicRefused:
    return ClinicRefused([Problem("file", None, None, reason)])
