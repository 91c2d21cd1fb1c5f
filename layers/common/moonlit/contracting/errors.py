"""Why a change of a payer is refused, beside what is malformed; each is a paragraph in docs/problems.md."""

from __future__ import annotations

from http import HTTPStatus

from moonlit.errors import MoonlitError


class PayerNameTaken(MoonlitError):
    """Two payers of one name cannot be told apart by those who choose between them."""

    status, slug, title = HTTPStatus.CONFLICT, "payer-name-taken", "Another payer has this name"


class PayerContended(MoonlitError):
    """Others were at the payers, twice in a row or for seconds; nothing was changed."""

    status, slug, title = HTTPStatus.CONFLICT, "payer-contended", "Somebody else is changing payers"
