"""Why a change of a service instance is refused; each is a paragraph in docs/problems.md."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class InstanceExists(MoonlitError):
    """The payer has the service at that place already. `serviceInstanceId` is the instance that stands."""

    status, slug, title = HTTPStatus.CONFLICT, "instance-exists", "The payer has this service there already"


class InstanceRetired(MoonlitError):
    """The instance is out of use, and nothing is booked by it any more."""

    status, slug, title = HTTPStatus.CONFLICT, "instance-retired", "The service instance is retired"


class InstanceContended(MoonlitError):
    """Others were at the same instance, twice in a row or for seconds; nothing was changed."""

    status, slug, title = HTTPStatus.CONFLICT, "instance-contended", "Somebody else is changing this instance"
