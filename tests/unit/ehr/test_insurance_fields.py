"""Which of a practice's own fields tell an insurance."""

from __future__ import annotations

from typing import Any

import pytest

from moonlit.ehr.insurance_fields import insurance_in, part_of
from moonlit.ehr.intakeq_rows import visit_of
from moonlit.ehr.port import ToldInsurance
from tests.fixtures_intakeq import NOON, make_visit


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ("Insurance", "payer_name"),
        ("Primary Insurance Company", "payer_name"),
        ("insurance_provider", "payer_name"),
        ("Name of your health insurance company:", "payer_name"),
        ("Payer", "payer_name"),
        ("Member ID", "member_id"),
        ("MemberID", "member_id"),
        ("Insurance Member #", "member_id"),
        ("Policy Number", "member_id"),
        ("Subscriber ID", "member_id"),
        ("Insurance ID Number", "member_id"),
        ("Group No.", "group_number"),
        ("Insurance group #", "group_number"),
        ("Group", None),  # A therapy group, as like as not.
        ("Secondary Insurance Company", None),
        ("Secondary Member ID", None),
        ("Policy Holder Name", None),
        ("Policy holder's phone number", None),
        ("Insurance phone number", None),
        ("Do you have insurance?", None),
        ("Insurance notes", None),
        ("Emergency contact", None),
        ("Group ID of therapy", None),
        ("ID", None),
        ("#", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_field_is_known_by_its_name(field: Any, part: str | None) -> None:
    assert part_of(field) == part


HASH = "417fcf04895ae21f040060d939efb5441c0fd377a7957698d2c900825790fc21"
PAYER, MEMBER, GROUP = "Insurance Company", "Member ID", "Group Number"


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([(PAYER, " Cedar  Health "), (MEMBER, "W-142"), (GROUP, 77)], ToldInsurance("Cedar Health", "W-142", "77")),
        ([(MEMBER, "W-142")], ToldInsurance(None, "W-142", None)),
        ([(PAYER, "Cedar Health"), ("Pets", "two")], ToldInsurance("Cedar Health", None, None)),
        ([(GROUP, "77")], None),
        ([(PAYER, "Cedar Health"), ("Payer", "Dune Mutual"), (MEMBER, "1")], ToldInsurance(None, "1", None)),
        ([(PAYER, "Cedar Health"), ("Payer", "Cedar Health")], ToldInsurance("Cedar Health", None, None)),
        ([(PAYER, "Yes"), (MEMBER, "n/a")], None),
        ([(PAYER, True), (MEMBER, ["W-142"])], None),
        ([(PAYER, "x" * 101), (MEMBER, "\x07")], None),
        ([], None),
    ],
)
def test_what_the_answers_tell(answers: list[tuple[Any, Any]], found: ToldInsurance | None) -> None:
    assert insurance_in(answers) == found


@pytest.mark.parametrize(
    "fields",
    [
        [
            {"FieldId": "x1", "Text": PAYER, "Value": "Cedar Health"},
            {"FieldId": "x2", "Text": MEMBER, "Value": "W-142"},
        ],
        [{"Name": PAYER, "Answer": "Cedar Health"}, {"Name": MEMBER, "Answer": "W-142"}],
    ],
)
def test_a_row_of_intakeq_tells_it_in_both_shapes(fields: list[dict[str, Any]]) -> None:
    told = visit_of(make_visit(1, NOON, CustomFields=fields))
    assert told.insurance == ToldInsurance("Cedar Health", "W-142", None)
    assert told.content_hash != visit_of(make_visit(1, NOON)).content_hash


@pytest.mark.parametrize("fields", [None, [], {}, "text", [None, 3, [], {}], [{"Name": PAYER}], [{"Answer": "x"}]])
def test_fields_that_tell_nothing_do_no_harm(fields: Any) -> None:
    assert visit_of(make_visit(1, NOON, CustomFields=fields)).insurance is None


def test_a_row_without_fields_keeps_the_hash_that_it_had_before_they_were_read() -> None:
    row = make_visit(1, NOON)
    assert visit_of(row).content_hash == visit_of({**row, "CustomFields": None}).content_hash
    assert visit_of(row).content_hash == HASH
