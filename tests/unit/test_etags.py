"""ETags: the same content has the same one, and a change made from another state is refused."""

from __future__ import annotations

import pytest

from moonlit.web.etags import PreconditionRequired, StaleEtag, etag, expect
from moonlit.web.models import Model


class Shown(Model):
    name: str


def test_the_same_content_has_the_same_etag_and_other_content_another() -> None:
    assert etag(Shown(name="Oak")) == etag(Shown(name="Oak")) != etag(Shown(name="Elm"))


def test_a_change_from_the_state_that_stands_passes() -> None:
    expect(etag(Shown(name="Oak")), Shown(name="Oak"))
    expect("*", Shown(name="Oak"), required=True)
    expect(None, Shown(name="Oak"))


@pytest.mark.parametrize("if_match", [etag(Shown(name="Elm")), f"W/{etag(Shown(name='Oak'))}"])
def test_a_change_from_another_state_is_refused(if_match: str) -> None:
    with pytest.raises(StaleEtag):
        expect(if_match, Shown(name="Oak"))


def test_a_change_from_nowhere_is_refused_where_it_may_not_be() -> None:
    with pytest.raises(PreconditionRequired):
        expect(None, Shown(name="Oak"), required=True)
