"""Which form of an answer a caller is given, and what a cell of a table may not be."""

from __future__ import annotations

import csv

import pytest
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from moonlit.web import csv_text
from moonlit.web.csv_text import CSV, JSON
from moonlit.web.negotiation import preferred


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("text/csv", CSV),
        ("Text/CSV; charset=utf-8", CSV),
        ("text/*", CSV),
        ("text/csv, application/json", JSON),  # Liked equally.
        ("text/csv, application/json;q=0.9", CSV),
        ("text/csv;q=0.5, application/json;q=0.6", JSON),
        ("text/csv, */*;q=0.1", CSV),
        ("*/*, application/json;q=0.2", CSV),  # What is said by name counts before what is said of all.
        ("*/*, application/json;q=0", CSV),
        ("text/csv;q=0, */*", JSON),
        ("text/*;q=0.9, text/csv;q=0.1, application/json;q=0.5", JSON),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON),
        ("application/xml", JSON),
        ("application/json;q=0, text/csv;q=0", JSON),
        ("text/csv;q=2", JSON),  # No weight at all.
        ("nonsense, text/csv", CSV),
        ("text/csv;q=0.001", CSV),
    ],
)
def test_the_form_that_is_liked_best_is_given(accept: str | None, given: str) -> None:
    assert preferred(accept, (JSON, CSV)) == given


def test_no_cell_begins_a_formula() -> None:
    dangerous = ["=1+1", "+1", "-1", "@sum(A1)", "\tx", "\rx", "\n=1", *"\uff1d\uff0b\uff0d\uff20"]
    text = csv_text.written(["a"], [[cell] for cell in [*dangerous, "plain", 'with "quotes", commas\nand lines']])
    rows = [row for (row,) in csv.reader(text.splitlines(keepends=True))]
    assert rows == ["a", *(f"'{cell}" for cell in dangerous), "plain", 'with "quotes", commas\nand lines']
    assert csv_text.written(["a", "b"], [[-5, None]]) == "a,b\r\n-5,\r\n"


def test_a_table_too_large_for_a_lambda_is_refused() -> None:
    quotes = '"' * (csv_text.LARGEST_BYTES // 2 - 1)
    assert csv_text.answer(quotes, "x.csv").status_code == 200
    for text in (quotes + "x", "é" * (csv_text.LARGEST_BYTES // 6)):
        with pytest.raises(RequestValidationError):
            csv_text.answer(text, "x.csv")
