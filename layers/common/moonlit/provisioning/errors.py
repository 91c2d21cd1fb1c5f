"""What provisioning may refuse."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class ProvisioningContended(MoonlitError):
    """Others changed the same instances at the same time, twice in a row."""

    status, slug, title = HTTPStatus.CONFLICT, "provisioning-contended", "Somebody else was at the same payers"


class RunOvertaken(MoonlitError):
    """The run was undone while it was still under way; what it had done is undone, and the rest was not begun."""

    status, slug, title = HTTPStatus.CONFLICT, "run-overtaken", "The run was undone while it was under way"


class RunNotApplied(MoonlitError):
    """A dry run has done nothing that could be undone."""

    status, slug, title = HTTPStatus.CONFLICT, "run-not-applied", "A dry run has nothing to undo"


class RunTouched(MoonlitError):
    """What the run made was changed or used since, so undoing it would take that away. Nothing was undone."""

    status, slug, title = HTTPStatus.CONFLICT, "run-touched", "What the run made is in use by now"


class BackfillRefused(RuntimeError):
    """A direct call was refused; the text says why, as the problem document of the HTTP API would."""


class ProvisioningIncomplete(RuntimeError):
    """Some of what a new payer needs could not be made; the event comes again, and then raises an alarm."""
