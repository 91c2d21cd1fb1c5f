"""What the catalog refuses; each is a paragraph in docs/problems.md."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class CatalogRefused(MoonlitError):
    """A rule of the catalog stands against the change; nothing was changed."""

    status = HTTPStatus.CONFLICT


class CatalogContended(CatalogRefused):
    """Somebody else was changing the catalog, for longer than anybody waits."""

    slug, title = "catalog-contended", "Somebody else is changing the catalog"


class ServiceNameTaken(CatalogRefused):
    """Another active service has the name, so nobody could tell the two apart."""

    slug, title = "service-name-taken", "Another active service has this name"


class ServiceIsDefault(CatalogRefused):
    """Every payer is to be given the service, so it cannot be taken out of use."""

    slug, title = "service-is-default", "The service is one of the practice's default services"


class RoomNumberTaken(CatalogRefused):
    """Another room of the location has the number."""

    slug, title = "room-number-taken", "Another room of the location has this number"


class RoomInUse(CatalogRefused):
    """Visits or holds are to be in the room, and would be elsewhere without anybody having said so."""

    slug, title = "room-in-use", "The room is taken in the time to come"


class MergeIntoItself(MoonlitError):
    """A service cannot be merged into itself."""

    status, slug, title = HTTPStatus.CONFLICT, "merge-into-itself", "These are one and the same service"


class MergeIntoInactive(MoonlitError):
    """Nobody could book any more what is merged into a service that is out of use."""

    status, slug, title = HTTPStatus.CONFLICT, "merge-into-inactive", "The other service is out of use"


class ServicesUnlike(MoonlitError):
    """Visits would be of another kind than what was booked."""

    status, slug, title = HTTPStatus.CONFLICT, "services-unlike", "The services are not the same"


class VisitsWouldChangeLength(MoonlitError):
    """Visits to come keep the time of the one service free, and the other one takes another time."""

    status, slug, title = HTTPStatus.CONFLICT, "visits-would-change-length", "Visits to come would change their length"
