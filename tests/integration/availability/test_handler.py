"""Everything that the widget may ask for reaches the rules, through the function itself."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from tests.fixtures_booking import EMIL, INES, PAYER, SERVICE_ID, TEN
from tests.fixtures_functions import Functions, functions, sample
from tests.fixtures_intakeq import NOON, open_intakeq, start_intakeq

__all__ = ["functions", "open_intakeq", "start_intakeq"]

HOUR = timedelta(hours=1)
AT_TEN = "2027-03-11T10:00:00-07:00"


def slots(functions: Functions, **query: str) -> dict[str, Any]:
    """Return the slots by their starts, for the query of the sample event with other parameters beside."""
    event = sample("availability/availability")
    asked = dict(parse_qsl(event["rawQueryString"])) | query
    event |= {"rawQueryString": urlencode(asked), "queryStringParameters": asked}
    answer = functions.call("availability", event)
    assert answer["statusCode"] == 200, answer
    return {slot["start"]: slot for slot in json.loads(answer["body"])["slots"]}


def test_providers_language_and_modality_choose_who_serves(functions: Functions) -> None:
    assert slots(functions)[AT_TEN]["providerIds"] == [str(INES), str(EMIL)]
    assert slots(functions, **{"providers[]": str(EMIL)})[AT_TEN]["providerIds"] == [str(EMIL)]
    functions.execute("update providers set native_langs = '{es}', interpreter_ok = true where id = :id", id=INES)
    assert slots(functions, language="es")[AT_TEN]["providerIds"] == [str(INES)]
    assert slots(functions, language="fr") == {}
    assert slots(functions, language="fr", interpreter="true")[AT_TEN]["providerIds"] == [str(INES)]
    assert slots(functions, modality="in_person") == {}


def test_the_location_is_that_of_the_hours_and_stands_in_the_answer(functions: Functions) -> None:
    location_id = uuid4()
    functions.execute(
        "insert into locations (id, name, timezone, pos_code) values (:id, 'East', 'America/Denver', '11')",
        id=location_id,
    )
    assert slots(functions, locationId=str(location_id)) == {}
    functions.execute("update provider_hours set location_id = :at where provider_id = :id", at=location_id, id=INES)
    found = slots(functions, locationId=str(location_id))[AT_TEN]
    assert (found["providerIds"], found["locationId"]) == ([str(INES)], str(location_id))


def test_ones_own_hold_does_not_count_but_a_missing_room_does(functions: Functions) -> None:
    hold_id = uuid4()
    functions.execute(
        'insert into appointment_holds (id, provider_id, service_id, payer_id, "start", "end", expires_at, created_at)'
        " values (:id, :ines, :service, :payer, :ten, :eleven, :then, :now)",
        id=hold_id, ines=INES, service=SERVICE_ID, payer=PAYER, ten=TEN, eleven=TEN + HOUR, now=NOON, then=NOON + HOUR,
    )  # fmt: skip
    functions.execute(
        "insert into time_claims (id, resource_kind, resource_id, span, hold_id)"
        " values (gen_random_uuid(), 'person', :ines, tstzrange(:ten, :eleven), :hold)",
        ines=INES, ten=TEN, eleven=TEN + HOUR, hold=hold_id,
    )  # fmt: skip
    assert slots(functions)[AT_TEN]["providerIds"] == [str(EMIL)]
    assert slots(functions, holdId=str(hold_id))[AT_TEN]["providerIds"] == [str(INES), str(EMIL)]
    functions.execute("update services set room_required = true")
    assert slots(functions, holdId=str(hold_id)) == {}
