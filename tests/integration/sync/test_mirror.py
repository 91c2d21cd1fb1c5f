"""Which version of a row the mirror keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from moonlit.ehr.intakeq_rows import visit_of
from moonlit.ehr.port import EhrVisit
from moonlit.sync.matching import Client, Review
from moonlit.sync.mirror import Mirror, Unmatched
from tests.fixtures_intakeq import NOON, make_visit
from tests.fixtures_sync import Practice


def version(number: int, **fields: Any) -> EhrVisit:
    """Return the visit as it is in its version `number`."""
    modified = NOON + timedelta(minutes=number)
    return replace(visit_of(make_visit(1, NOON)), modified_at=modified, content_hash=f"v{number}", **fields)


@pytest.mark.parametrize(
    ("versions", "kept", "deleted"),
    [
        ([(1, False), (2, False)], "v2", False),
        ([(2, False), (1, False)], "v2", False),
        ([(1, False), (1, False)], "v1", False),
        ([(1, False), (1, True)], "v1:deleted", True),
        ([(2, False), (1, True)], "v1:deleted", True),
        ([(1, True), (1, False)], "v1:deleted", True),
        ([(2, False), (1, True), (2, False)], "v1:deleted", True),
        ([(1, True), (2, False)], "v2", False),
    ],
    ids=[
        "newer", "older_comes_late", "twice", "deleted", "deleted_in_an_older_version", "not_brought_back_by_the_same",
        "not_brought_back_by_what_the_deletion_knew", "brought_back_by_a_later_change",
    ],
)  # fmt: skip
def test_version_decides_and_not_the_order_of_arrival(
    practice: Practice, versions: list[tuple[int, bool]], kept: str, *, deleted: bool
) -> None:
    for number, gone in versions:
        with practice.begin() as connection:
            Mirror(connection, practice.account_id).save([version(number)], NOON, deleted=gone)
    assert practice.rows("select content_hash, deleted_in_ehr from ehr_appointments") == [
        {"content_hash": kept, "deleted_in_ehr": deleted}
    ]


def test_rows_that_shifted_between_pages_are_one(practice: Practice) -> None:
    with practice.begin() as connection:
        mirror = Mirror(connection, practice.account_id)
        assert mirror.save([version(1), version(3), version(2)], NOON) == 1
        assert mirror.save([version(3)], NOON) == 0
    assert practice.rows("select content_hash from ehr_appointments") == [{"content_hash": "v3"}]


def test_row_that_changes_its_client_is_matched_anew(practice: Practice) -> None:
    practice.patient("1")
    with practice.begin() as connection:
        mirror = Mirror(connection, practice.account_id)
        mirror.save([version(1, client_id="1")], NOON)
        (unmatched,) = mirror.unmatched(NOON, NOON + timedelta(days=1))
        mirror.link([(unmatched, unmatched.candidates[0].patient_id)], NOON)
        assert mirror.patient_of(version(1).external_id)
        mirror.save([version(2, client_id="2")], NOON)
        assert mirror.patient_of(version(1).external_id) is None


def test_client_is_asked_about_once_whichever_visit_brings_the_question_up(practice: Practice) -> None:
    with practice.begin() as connection:
        mirror = Mirror(connection, practice.account_id)
        for external_id in ("b", "a"):
            question = Unmatched(Client("1", frozenset(), frozenset()), external_id, [])
            mirror.ask([(question, Review("several_candidates", ()))], NOON)
    assert practice.rows("select external_id from match_reviews") == [{"external_id": "b"}]
