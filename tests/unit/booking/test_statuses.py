from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from moonlit.booking.statuses import shown_status

END = datetime(2027, 3, 1, 17, 0, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("status", "now", "shown"),
    [
        ("confirmed", END - A_MOMENT, "confirmed"),
        ("confirmed", END, "completed"),
        ("confirmed", END + timedelta(days=30), "completed"),
        ("scheduled", END + timedelta(days=30), "scheduled"),
        ("pending", END + timedelta(days=30), "pending"),
        ("cancelled", END + timedelta(days=30), "cancelled"),
        ("no_show", END + timedelta(days=30), "no_show"),
    ],
)
def test_only_a_confirmed_visit_is_completed_by_its_end(status: str, now: datetime, shown: str) -> None:
    assert shown_status(status, END, now) == shown
