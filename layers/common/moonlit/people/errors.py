"""Why a change of the practice's people is refused; each is a paragraph in docs/problems.md."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class PeopleContended(MoonlitError):
    """Somebody changed the same people at the same time, twice in a row."""

    status, slug, title = HTTPStatus.CONFLICT, "people-contended", "Somebody else was changing the same people"


class EhrSystemInUse(MoonlitError):
    """Visits or a mapping say where the provider's calendar is: it cannot be said otherwise."""

    status, slug, title = HTTPStatus.CONFLICT, "ehr-system-in-use", "The provider's calendar is in use where it is"


class PersonOverlaps(MoonlitError):
    """As one human the provider would be at two visits at once."""

    status, slug, title = HTTPStatus.CONFLICT, "person-overlaps", "One person cannot be at two visits at once"


class PersonChanging(MoonlitError):
    """A hold, or a change that the EHR has not answered yet, keeps the person's time as it is for now."""

    status, slug, title = HTTPStatus.CONFLICT, "person-changing", "The person's time is just being changed"


class NoPractitioner(MoonlitError):
    """Nobody has said which practitioner of the EHR the provider is."""

    status, slug, title = HTTPStatus.CONFLICT, "no-practitioner", "The provider is no practitioner of the EHR yet"


class TimeOffOverlaps(MoonlitError):
    """The provider has time off then already."""

    status, slug, title = HTTPStatus.CONFLICT, "time-off-overlaps", "The provider has time off then already"


class EmailTaken(MoonlitError):
    """Another partner's person has the e-mail address."""

    status, slug, title = HTTPStatus.CONFLICT, "email-taken", "Somebody else has this e-mail address"


class IdentityTaken(MoonlitError):
    """Another partner's person signs in as that."""

    status, slug, title = HTTPStatus.CONFLICT, "identity-taken", "Somebody else signs in as that"
