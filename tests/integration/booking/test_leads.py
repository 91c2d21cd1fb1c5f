"""Leads, and how much one address may do on the public forms."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from moonlit.booking import errors, leads
from moonlit.booking.callers import caller_of
from moonlit.booking.leads import Lead
from moonlit.errors import NotFound
from tests.fixtures_booking import NEW_PAYER, TEN, Office, somebody, wanted

LEAD = Lead(NEW_PAYER, "Dune Mutual", "pat.lead@example.org", "Pat", "Lead", "8015550142", "UT", date(2027, 6, 1))
CALLER = "somebody's address"


def leave(office: Office, lead: Lead = LEAD, caller: str = CALLER) -> UUID:
    return leads.leave(office.begin, office.clock, lead, caller)


def limit(office: Office, **limits: int) -> None:
    for name, number in limits.items():
        office.execute(f"update practice_settings set settings = settings || '{{\"{name}\": {number}}}'")


def test_a_lead_is_kept_and_staff_are_told_without_a_word_about_them(office: Office) -> None:
    lead_id = leave(office)
    (kept,) = office.rows("select * from leads")
    assert (kept["id"], kept["payer_id"], kept["payer_name"]) == (lead_id, NEW_PAYER, "Dune Mutual")
    assert (kept["email"], kept["status"], kept["effective_date"]) == (LEAD.email, "pending", date(2027, 6, 1))
    (told,) = office.rows("select kind, payload, sent_at from outbox")
    assert told == {"kind": "lead_created", "payload": {"leadId": str(lead_id)}, "sent_at": None}


def test_a_lead_of_a_payer_that_nobody_knows_is_kept_by_its_name(office: Office) -> None:
    leave(office, replace(LEAD, payer_id=None, payer_name="Some Plan", first_name=None, phone=None))
    assert office.rows("select payer_id, payer_name from leads") == [{"payer_id": None, "payer_name": "Some Plan"}]
    with pytest.raises(NotFound):
        leave(office, replace(LEAD, payer_id=uuid4()))
    assert len(office.rows("select 1 from leads")) == len(office.rows("select 1 from outbox")) == 1


def test_an_address_leaves_so_many_leads_an_hour(office: Office) -> None:
    limit(office, leads_per_address_hour=2)
    office.clock.advance(minutes=20)
    leave(office)
    with pytest.raises(NotFound):
        leave(office, replace(LEAD, payer_id=uuid4()))  # What came to nothing does not count.
    leave(office)
    with pytest.raises(errors.TooMany) as refused:
        leave(office)
    assert refused.value.extra["retryAfterSeconds"] == 40 * 60 + 1
    assert leave(office, caller="another address")
    assert len(office.rows("select 1 from leads")) == len(office.rows("select 1 from outbox")) == 3
    office.clock.advance(seconds=refused.value.extra["retryAfterSeconds"])
    assert leave(office)


def test_an_address_makes_so_many_bookings_an_hour(office: Office) -> None:
    limit(office, bookings_per_address_hour=2)
    office.accept(wanted(caller=CALLER), "one", "body")
    office.accept(wanted(caller=CALLER), "one", "body")  # The same visit again is no other one.
    for refused in (wanted(caller=CALLER, patient=somebody(1)), wanted(TEN + timedelta(minutes=5), caller=CALLER)):
        with pytest.raises(errors.BookingRefused):
            office.accept(refused)
    later = TEN + timedelta(hours=3)
    office.accept(wanted(later, caller=CALLER))
    with pytest.raises(errors.TooMany) as too_many:
        office.accept(wanted(later, caller=CALLER, patient=somebody(1), provider_id=None))
    assert too_many.value.extra["retryAfterSeconds"] == 3601
    assert len(office.rows("select 1 from appointments")) == len(office.rows("select 1 from ehr_writes")) == 2
    office.accept(wanted(later, patient=somebody(1), provider_id=None))  # Staff are nobody's caller.


def test_what_an_address_did_is_forgotten_within_a_day(office: Office) -> None:
    leave(office)
    office.clock.advance(hours=24)
    office.sweeper.sweep()
    assert len(office.rows("select 1 from public_uses")) == 1
    office.clock.advance(hours=2)
    office.sweeper.sweep()
    assert office.rows("select 1 from public_uses") == []


def test_an_address_is_known_by_a_keyed_hash() -> None:
    known = caller_of("192.0.2.1", "key")
    assert known == caller_of("192.0.2.1", "key")
    assert len({known, caller_of("192.0.2.2", "key"), caller_of("192.0.2.1", "other key")}) == 3
    assert "192.0.2.1" not in known
