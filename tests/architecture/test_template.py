"""What template.yaml promises of every function, queue and permission, read from the file itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from local.host.intrinsics import read_document
from tests.conftest import ROOT

TEMPLATE = read_document(ROOT / "template.yaml")
RESOURCES: Mapping[str, Any] = TEMPLATE["Resources"]


def of(kind: str) -> list[str]:
    return sorted(name for name, resource in RESOURCES.items() if resource["Type"] == kind)


FUNCTIONS = of("AWS::Serverless::Function")
QUEUES = of("AWS::SQS::Queue")


def properties(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = RESOURCES[name]["Properties"]
    return found


def events(name: str, kind: str) -> Iterator[Mapping[str, Any]]:
    return (event["Properties"] for event in properties(name).get("Events", {}).values() if event["Type"] == kind)


def target(node: Any) -> str:
    """Return the logical id that a !Ref or !GetAtt names."""
    (value,) = node.values()
    return str(value[0] if isinstance(value, list) else value).split(".")[0]


def test_the_functions_are_those_that_have_a_folder() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert {properties(name)["CodeUri"].removeprefix("functions/") for name in FUNCTIONS} == folders


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_a_timeout_a_name_for_its_logs_and_keeps_them_for_a_while(name: str) -> None:
    function = properties(name)
    assert 0 < function["Timeout"] <= 900
    assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    logs = target(function["LoggingConfig"]["LogGroup"])
    assert properties(logs)["RetentionInDays"] <= 90
    if any(events(name, "HttpApi")):
        assert function["Timeout"] < 30  # What API Gateway waits.


@pytest.mark.parametrize("name", FUNCTIONS)
def test_permissions_name_the_actions_and_the_resources(name: str) -> None:
    statements = [s for policy in properties(name)["Policies"] for s in policy.get("Statement", [])]
    assert statements
    for statement in statements:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert set(actions) <= {"secretsmanager:GetSecretValue", "sqs:SendMessage", "events:PutEvents"}
        assert "*" not in str(statement["Resource"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_publish_exactly_where_it_is_given_a_bus(name: str) -> None:
    given = "EVENT_BUS_NAME" in properties(name)["Environment"]["Variables"]
    granted = [
        target(statement["Resource"])
        for policy in properties(name)["Policies"]
        for statement in policy.get("Statement", [])
        if statement["Action"] == "events:PutEvents"
    ]
    assert granted == (["EventBus"] if given else [])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_send_exactly_where_its_environment_points(name: str) -> None:
    variables = properties(name)["Environment"]["Variables"]
    pointed = {target(value) for key, value in variables.items() if key.endswith("_QUEUE_URL")}
    granted = {
        target(resource)
        for policy in properties(name)["Policies"]
        for statement in policy.get("Statement", [])
        if statement["Action"] == "sqs:SendMessage"
        for resource in (statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]])
    }
    assert granted == pointed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_alarm_that_names_the_runbook(name: str) -> None:
    alarms = [properties(alarm) for alarm in of("AWS::CloudWatch::Alarm")]
    mine = [
        alarm for alarm in alarms if {"Name": "FunctionName", "Value": {"Ref": name}} in alarm.get("Dimensions", [])
    ]
    assert mine
    assert all(alarm["AlarmDescription"].startswith("runbook: ") for alarm in mine)


def test_every_event_has_time_to_be_read_from_its_ehr() -> None:
    (queue,) = events("ApplyEventFunction", "SQS")
    assert properties("ApplyEventFunction")["Timeout"] / queue["BatchSize"] >= 10


def test_every_queue_has_a_dead_letter_queue_with_an_alarm_and_time_for_its_consumer() -> None:
    watched = {
        target(d["Value"]) for alarm in of("AWS::CloudWatch::Alarm") for d in properties(alarm).get("Dimensions", [])
    }
    consumers = {target(event["Queue"]): name for name in FUNCTIONS for event in events(name, "SQS")}
    dead = {target(properties(queue)["RedrivePolicy"]["deadLetterTargetArn"]) for queue in consumers}
    assert dead <= watched
    for queue, function in consumers.items():
        assert properties(queue)["VisibilityTimeout"] >= 6 * properties(function)["Timeout"]
    for name in FUNCTIONS:
        assert all("ReportBatchItemFailures" in event["FunctionResponseTypes"] for event in events(name, "SQS"))
        schedules = list(events(name, "ScheduleV2"))
        assert all(target(schedule["DeadLetterConfig"]["Arn"]) in watched for schedule in schedules)


def test_no_function_with_a_queue_reserves_its_concurrency() -> None:
    # The poller goes on receiving while the reserved place is taken, and each time counts towards the dead letters.
    assert not [n for n in FUNCTIONS if any(events(n, "SQS")) and "ReservedConcurrentExecutions" in properties(n)]


def test_what_a_schedule_calls_says_what_becomes_of_a_failure() -> None:
    for name in FUNCTIONS:
        if any(events(name, "ScheduleV2")):
            config = properties(name)["EventInvokeConfig"]
            assert config["MaximumRetryAttempts"] == 0 or config["DestinationConfig"]["OnFailure"]["Destination"]


def test_every_queue_is_consumed_or_takes_dead_letters() -> None:
    consumed = {target(event["Queue"]) for name in FUNCTIONS for event in events(name, "SQS")}
    dead = {queue for queue in QUEUES if "RedrivePolicy" not in properties(queue)}
    assert consumed | dead == set(QUEUES)


def test_the_night_begins_at_three_in_denver_whatever_the_season() -> None:
    (nightly,) = events("SyncCronFunction", "ScheduleV2")
    assert (nightly["ScheduleExpression"], nightly["ScheduleExpressionTimezone"]) == (
        "cron(0 3 * * ? *)",
        "America/Denver",
    )


def test_the_access_log_names_routes_and_never_paths() -> None:
    assert re.findall(r"\$context\.(\w+)", properties("Api")["AccessLogSettings"]["Format"]) == [
        "requestId",
        "routeKey",
        "status",
        "responseLatency",
    ]


def test_every_documented_route_is_in_the_template_and_the_other_way_round() -> None:
    import json

    document = json.loads((ROOT / "layers/common/moonlit/web/openapi.json").read_text())
    described = {(method.upper(), shape(path)) for path, methods in document["paths"].items() for method in methods}
    routed = {(event["Method"], shape(event["Path"])) for name in FUNCTIONS for event in events(name, "HttpApi")}
    assert routed - described == {("GET", "/docs"), ("GET", "/openapi.json")}
    assert described <= routed


def shape(path: str) -> str:
    """Return a path with its parameters' names left out."""
    return re.sub(r"\{[^}]+\}", "{}", path)


def test_staff_alerts_are_counted_where_they_are_logged_and_raise_an_alarm() -> None:
    counted, alarm = properties("StaffAlertsCounted"), properties("StaffAlerts")
    assert counted["FilterPattern"] == '{ $.message = "staff_alerted" }'
    assert counted["LogGroupName"] == {"Ref": "SweeperLogs"}
    [metric] = counted["MetricTransformations"]
    assert (metric["MetricNamespace"], metric["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])
    assert 'logger.error("staff_alerted"' in (ROOT / "layers/common/moonlit/booking/outbox.py").read_text()
