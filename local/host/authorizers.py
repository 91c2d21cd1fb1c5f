"""Which routes of a template need a token, and whose; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.host.intrinsics import TemplateError

_HEADER = "$request.header.Authorization"
_NOBODY = "NONE"


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Whose tokens an HTTP API takes: the issuer's, made for one of the audiences."""

    issuer: str
    audiences: tuple[str, ...]


def declared_authorizers(apis: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Authorizer]:
    """Return by name the JWT authorizers in the `Auth` of HTTP APIs, which come with their logical ids.

    Raises:
        TemplateError: There is one of another kind, or one for every route.
    """
    found = {}
    for logical_id, auth in apis:
        for name, declared in (_only("Authorizers", auth, logical_id) or {}).items():
            token = declared.get("JwtConfiguration")
            if token is None or declared.get("IdentitySource") != _HEADER:
                raise TemplateError(f"{name}: only JWT authorizers that read {_HEADER} are imitated here")
            found[name] = Authorizer(str(token["issuer"]), tuple(map(str, token["audience"])))
    return found


def authorizer_of(function: str, auth: Mapping[str, Any], declared: Mapping[str, Authorizer]) -> Authorizer | None:
    """Return the authorizer in the `Auth` of a route of `function`.

    Raises:
        TemplateError: It is not declared, or something else guards the route.
    """
    name = _only("Authorizer", auth, function) or _NOBODY
    if name != _NOBODY and name not in declared:
        raise TemplateError(f"{function}: the authorizer {name} is not declared")
    return declared.get(name)


def _only(key: str, auth: Mapping[str, Any], where: str) -> Any:
    """Return what `auth` says under `key`, its only one: a route must not be open here that is guarded in the cloud."""
    if unknown := set(auth) - {key}:
        raise TemplateError(f"{where}: {', '.join(sorted(unknown))} of Auth is not imitated here")
    return auth.get(key)
