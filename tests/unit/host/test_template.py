"""What the host reads in a template."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from local.host.intrinsics import TemplateError
from local.host.template import QueueSource, Route, Template

SQS = "http://127.0.0.1:4566"
BASIC = """
    Parameters:
      Origins: {Type: CommaDelimitedList, Default: "https://a.example.org, https://b.example.org"}
      Stage: {Type: String, Default: dev}
    Conditions:
      IsProd: !Equals [!Ref Stage, prod]
    Globals:
      Function:
        Handler: app.handler
        Timeout: 29
        Environment:
          Variables: {LEVEL: INFO, SHARED: "1"}
      HttpApi:
        CorsConfiguration: {AllowOrigins: !Ref Origins, MaxAge: 60}
    Resources:
      WorkQueue:
        Type: AWS::SQS::Queue
        Properties:
          QueueName: !Sub "${Stage}-work"
          VisibilityTimeout: 180
          KmsMasterKeyId: !If [IsProd, alias/key, !Ref AWS::NoValue]
          RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadQueue.Arn, maxReceiveCount: 3}
      DeadQueue:
        Type: AWS::SQS::Queue
      Secret:
        Type: AWS::SecretsManager::Secret
        Properties: {Name: !Join ["/", [moonlit, !Ref Stage]]}
      SyncFunction:
        Type: AWS::Serverless::Function
        Properties:
          CodeUri: functions/sync_org
          MemorySize: !If [IsProd, 1024, 512]
          ReservedConcurrentExecutions: 2
          Policies: [{Statement: [{Resource: !ImportValue something}]}]
          Environment:
            Variables:
              LEVEL: DEBUG
              QUEUE_URL: !Ref WorkQueue
              QUEUE_ARN: !GetAtt WorkQueue.Arn
              SECRET_ID: !Ref Secret
              TOPIC: !Sub ["arn:${AWS::Partition}:${x}:${!literal}", {x: !Ref AWS::Region}]
          Events:
            Get: {Type: HttpApi, Properties: {Method: get, Path: "/syncs/{id}"}}
            Rest: {Type: HttpApi}
            Work:
              Type: SQS
              Properties:
                Queue: !GetAtt WorkQueue.Arn
                MaximumBatchingWindowInSeconds: 1
                FunctionResponseTypes: [ReportBatchItemFailures]
            Often: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(5 minutes), Input: '{"a": 1}'}}
            Nightly:
              Type: ScheduleV2
              Properties:
                ScheduleExpression: cron(0 3 * * ? *)
                ScheduleExpressionTimezone: America/Denver
"""


def read(folder: Path, text: str, **parameters: str) -> Template:
    path = folder / "template.yaml"
    path.write_text(textwrap.dedent(text))
    return Template.read(path, sqs_url=SQS, parameters=parameters)


def test_a_function_has_the_globals_and_its_own_settings_over_them(tmp_path: Path) -> None:
    function = read(tmp_path, BASIC).functions["SyncFunction"]
    assert function.code == tmp_path / "functions" / "sync_org"
    assert (function.handler, function.timeout_seconds, function.memory_mb, function.concurrency) == (
        "app.handler",
        29,
        512,
        2,
    )
    assert function.environment == {
        "LEVEL": "DEBUG",
        "SHARED": "1",
        "QUEUE_URL": f"{SQS}/123456789012/dev-work",
        "QUEUE_ARN": "arn:aws:sqs:us-west-2:123456789012:dev-work",
        "SECRET_ID": "moonlit/dev",
        "TOPIC": "arn:aws:us-west-2:${literal}",
    }


def test_parameters_are_given_or_at_their_defaults(tmp_path: Path) -> None:
    template = read(tmp_path, BASIC, Stage="prod")
    assert template.functions["SyncFunction"].memory_mb == 1024
    assert template.queues[0].attributes["KmsMasterKeyId"] == "alias/key"
    assert template.cors.origins == ("https://a.example.org", "https://b.example.org")


def test_events_become_routes_sources_and_schedules(tmp_path: Path) -> None:
    template = read(tmp_path, BASIC)
    assert template.routes == [Route("GET", "/syncs/{id}", "SyncFunction"), Route("ANY", "$default", "SyncFunction")]
    arn = "arn:aws:sqs:us-west-2:123456789012:dev-work"
    assert template.queue_sources == [QueueSource("SyncFunction", arn, 10, 1.0, 5, reports_failures=True)]
    often, nightly = template.schedules
    assert (often.every_seconds, often.payload) == (300, '{"a": 1}')
    assert (nightly.every_seconds, nightly.zone) == (None, "America/Denver")


def test_a_queue_has_its_attributes_as_text(tmp_path: Path) -> None:
    work, dead = read(tmp_path, BASIC).queues
    assert (work.name, dead.name) == ("dev-work", "DeadQueue")
    assert work.attributes["VisibilityTimeout"] == "180"
    assert "KmsMasterKeyId" not in work.attributes
    assert json.loads(work.attributes["RedrivePolicy"]) == {
        "deadLetterTargetArn": "arn:aws:sqs:us-west-2:123456789012:DeadQueue",
        "maxReceiveCount": 3,
    }


@pytest.mark.parametrize(
    "text",
    [
        "Resources: [",
        "- a list",
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: !Ref Nothing, Handler: a.b}}}",
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: !ImportValue x, Handler: a.b}}}",
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: f, Handler: !If [No, a.b, c.d]}}}",
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: f, Handler: a, Events: {E: {Type: S3}}}}}",
    ],
)
def test_a_template_that_cannot_be_followed_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TemplateError):
        read(tmp_path, text)
