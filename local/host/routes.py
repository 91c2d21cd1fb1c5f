"""Which route of an HTTP API a request belongs to; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from local.host.template import Route

_ANY = "ANY"
_DEFAULT = "$default"


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the values of its path parameters, decoded."""

    route: Route
    parameters: Mapping[str, str]


class RouteTable:
    """The routes, most specific first, as API Gateway orders them.

    A full match beats a greedy one, a literal part of a path a parameter, a method ANY, and anything `$default`.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=_specificity)

    def match(self, method: str, raw_path: str) -> Match | None:
        """Find the route of a request; `raw_path` is still percent-encoded."""
        parts = _parts(raw_path)
        for route in self._routes:
            if route.method not in {method, _ANY}:
                continue
            parameters = {} if route.path == _DEFAULT else _parameters(_parts(route.path), parts)
            if parameters is not None:
                return Match(route, parameters)
        return None


def _parts(path: str) -> list[str]:
    return path.strip("/").split("/")


def _specificity(route: Route) -> tuple[object, ...]:
    parts = _parts(route.path)
    greedy = parts[-1].endswith("+}")
    return (route.path == _DEFAULT, greedy, [part.startswith("{") for part in parts], route.method == _ANY)


def _parameters(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    """Return what the parameters of `pattern` stand for in `parts`, None when it does not fit."""
    found: dict[str, str] = {}
    for position, part in enumerate(pattern):
        if part.endswith("+}"):
            rest = "/".join(parts[position:])
            return found | {part[1:-2]: unquote(rest)} if rest else None
        if position >= len(parts):
            return None
        if part.startswith("{") and parts[position]:
            found[part[1:-1]] = unquote(parts[position])
        elif part != unquote(parts[position]):
            return None
    return found if len(pattern) == len(parts) else None
