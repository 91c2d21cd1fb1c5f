"""What a SAM template declares, in the host's terms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from local.host.authorizers import Authorizer, authorizer_of, declared_authorizers
from local.host.intrinsics import ACCOUNT, REGION, Resolver, TemplateError, read_document

INTEGRATION_SECONDS = 30.0  # What an HTTP API waits for a function at most.
DEFAULT_TIMEOUT_SECONDS = 3
DEFAULT_MEMORY_MB = 128
DEFAULT_BATCH_SIZE = 10
DEFAULT_SQS_CONCURRENCY = 5
DEFAULT_RETRIES = 2  # Of an asynchronous invocation that failed.
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_RATE_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function. `name` is what AWS would call it, `folder` the last part of its CodeUri.

    Attributes:
        retries: How often an asynchronous invocation that failed is repeated.
        failures_arn: The queue that takes the events of those that failed for good; None for nobody.
    """

    logical_id: str
    name: str
    code: Path
    handler: str
    timeout_seconds: int
    memory_mb: int
    concurrency: int | None
    environment: Mapping[str, str]
    log_format: str = "Text"
    retries: int = DEFAULT_RETRIES
    failures_arn: str | None = None

    @property
    def folder(self) -> str:
        """The name of the folder that its code lies in."""
        return self.code.name

    @property
    def arn(self) -> str:
        """Its Amazon resource name."""
        return function_arn(self.name)


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path of the HTTP API, and the logical id of the function behind it.

    Attributes:
        authorizer: Who checks the caller's token before the function is asked; None for nobody.
    """

    method: str
    path: str
    function: str
    timeout_seconds: float = INTEGRATION_SECONDS
    authorizer: Authorizer | None = None

    @property
    def key(self) -> str:
        """The route as API Gateway names it."""
        return f"{self.method} {self.path}" if self.path != "$default" else self.path


@dataclass(frozen=True, slots=True)
class QueueSource:
    """A queue whose messages a function handles in batches."""

    function: str
    queue_arn: str
    batch_size: int
    window_seconds: float
    concurrency: int
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of EventBridge Scheduler. `every_seconds` is None for cron expressions, which do not run here."""

    name: str
    function: str
    expression: str
    zone: str
    payload: str | None

    @property
    def every_seconds(self) -> float | None:
        """The period of a rate expression."""
        rate = _RATE.fullmatch(self.expression)
        return int(rate[1]) * _RATE_SECONDS[rate[2]] if rate else None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of an event bus and the function that it invokes; `pattern` is EventBridge's, as JSON."""

    name: str
    function: str
    bus: str
    pattern: str

    @property
    def queue(self) -> str:
        """The queue of the host's own that stands between the local bus and the function."""
        return f"{self.name}-rule"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and its attributes as SQS takes them: all text."""

    name: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cors:
    """Which origins may call the HTTP API from a browser, and how."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    credentials: bool = False


@dataclass(slots=True)
class Template:
    """A template, read once; `sqs_url` is where its queues will be found."""

    functions: dict[str, Function] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    queue_sources: list[QueueSource] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    cors: Cors = field(default_factory=Cors)

    @classmethod
    def read(cls, path: Path, *, sqs_url: str, parameters: Mapping[str, str] | None = None) -> Self:
        """Read the template at `path`, its parameters at their defaults unless given.

        Raises:
            TemplateError: It is not a template, or says something that this host cannot make sense of.
        """
        template = cls()
        _Reader(path.resolve(), sqs_url.rstrip("/"), parameters or {}).fill(template)
        return template

    def function(self, name: str) -> Function | None:
        """Find a function by logical id, name, ARN or folder."""
        short = name.rpartition(":function:")[2].partition(":")[0]  # An ARN may end in a version.
        found = (f for f in self.functions.values() if short in {f.logical_id, f.name, f.folder})
        return next(found, None)


def function_arn(name: str) -> str:
    """Return the ARN of the function called `name`."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


class _Reader:
    def __init__(self, path: Path, sqs_url: str, parameters: Mapping[str, str]) -> None:
        document = read_document(path)
        self._folder = path.parent
        self._sqs_url = sqs_url
        self._globals: Mapping[str, Any] = document.get("Globals", {})
        self._resources: Mapping[str, Any] = document.get("Resources", {})
        self._resolver = Resolver(document, parameters, self._resource)
        apis = ((name, self._resolver.value(p.get("Auth", {}))) for name, p in self._of("AWS::Serverless::HttpApi"))
        self._authorizers = declared_authorizers(apis)

    def fill(self, template: Template) -> None:
        for logical_id, properties in self._of("AWS::Serverless::Function"):
            function = self._function(logical_id, properties)
            template.functions[logical_id] = function
            for name, event in properties.get("Events", {}).items():
                self._add_event(template, function, name, event)
        template.queues = [self._queue(logical_id, p) for logical_id, p in self._of("AWS::SQS::Queue")]
        template.cors = self._cors()

    def _of(self, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for logical_id, resource in self._resources.items():
            if resource.get("Type") == kind:
                yield logical_id, resource.get("Properties", {})

    def _function(self, logical_id: str, properties: Mapping[str, Any]) -> Function:
        defaults = self._globals.get("Function", {})
        value = self._resolver.value
        merged = {**defaults, **properties}
        variables = {
            **defaults.get("Environment", {}).get("Variables", {}),
            **properties.get("Environment", {}).get("Variables", {}),
        }
        reserved = value(merged.get("ReservedConcurrentExecutions"))
        invoked = value(merged.get("EventInvokeConfig", {}))
        return Function(
            logical_id=logical_id,
            name=str(value(merged.get("FunctionName", logical_id))),
            code=(self._folder / str(value(merged["CodeUri"]))).resolve(),
            handler=str(value(merged["Handler"])),
            timeout_seconds=int(value(merged.get("Timeout", DEFAULT_TIMEOUT_SECONDS))),
            memory_mb=int(value(merged.get("MemorySize", DEFAULT_MEMORY_MB))),
            concurrency=int(reserved) if isinstance(reserved, int | str) else None,
            environment={name: _text(text) for name, text in value(variables).items()},
            log_format=str(value(merged.get("LoggingConfig", {})).get("LogFormat", "Text")),
            retries=int(invoked.get("MaximumRetryAttempts", DEFAULT_RETRIES)),
            failures_arn=invoked.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"),
        )

    def _add_event(self, template: Template, function: Function, name: str, event: Mapping[str, Any]) -> None:
        properties = event.get("Properties", {})
        match event["Type"]:
            case "HttpApi":
                template.routes.append(self._route(function, properties))
            case "SQS":
                template.queue_sources.append(self._queue_source(function, properties))
            case "ScheduleV2":
                template.schedules.append(self._schedule(function, name, properties))
            case "EventBridgeRule":
                template.rules.append(self._rule(function, name, properties))
            case kind:
                raise TemplateError(f"{function.logical_id}: the event type {kind} is not imitated here")

    def _route(self, function: Function, properties: Mapping[str, Any]) -> Route:
        value = self._resolver.value
        milliseconds = float(value(properties.get("TimeoutInMillis", INTEGRATION_SECONDS * 1000)))
        method = str(value(properties.get("Method", "ANY"))).upper()
        method = "ANY" if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" else method
        path = str(value(properties.get("Path", "$default")))
        authorizer = authorizer_of(function.logical_id, value(properties.get("Auth", {})), self._authorizers)
        return Route(method, path, function.logical_id, milliseconds / 1000, authorizer)

    def _queue_source(self, function: Function, properties: Mapping[str, Any]) -> QueueSource:
        value = self._resolver.value
        return QueueSource(
            function=function.logical_id,
            queue_arn=str(value(properties["Queue"])),
            batch_size=int(value(properties.get("BatchSize", DEFAULT_BATCH_SIZE))),
            window_seconds=float(value(properties.get("MaximumBatchingWindowInSeconds", 0))),
            concurrency=int(
                value(properties.get("ScalingConfig", {})).get("MaximumConcurrency", DEFAULT_SQS_CONCURRENCY)
            ),
            reports_failures="ReportBatchItemFailures" in value(properties.get("FunctionResponseTypes", [])),
        )

    def _schedule(self, function: Function, name: str, properties: Mapping[str, Any]) -> Schedule:
        value = self._resolver.value
        return Schedule(
            name=str(value(properties.get("Name", f"{function.logical_id}{name}"))),
            function=function.logical_id,
            expression=str(value(properties["ScheduleExpression"])),
            zone=str(value(properties.get("ScheduleExpressionTimezone", "UTC"))),
            payload=value(properties.get("Input")),
        )

    def _rule(self, function: Function, name: str, properties: Mapping[str, Any]) -> Rule:
        value = self._resolver.value
        return Rule(
            name=f"{function.logical_id}{name}",
            function=function.logical_id,
            bus=str(value(properties.get("EventBusName", "default"))),
            pattern=json.dumps(value(properties["Pattern"])),
        )

    def _queue(self, logical_id: str, properties: Mapping[str, Any]) -> Queue:
        attributes = {key: v for key, v in properties.items() if key not in {"QueueName", "Tags"}}
        values = self._resolver.value(attributes)
        return Queue(self._queue_name(logical_id), {key: _text(v) for key, v in values.items()})

    def _queue_name(self, logical_id: str) -> str:
        return str(self._resolver.value(self._resources[logical_id].get("Properties", {}).get("QueueName", logical_id)))

    def _cors(self) -> Cors:
        declared = self._globals.get("HttpApi", {}).get("CorsConfiguration", {})
        for _, properties in self._of("AWS::Serverless::HttpApi"):
            declared = properties.get("CorsConfiguration", declared)
        cors = self._resolver.value(declared)
        return Cors(
            origins=tuple(cors.get("AllowOrigins", ())),
            methods=tuple(cors.get("AllowMethods", ())),
            headers=tuple(cors.get("AllowHeaders", ())),
            exposed=tuple(cors.get("ExposeHeaders", ())),
            max_age_seconds=int(cors["MaxAge"]) if "MaxAge" in cors else None,
            credentials=bool(cors.get("AllowCredentials")),
        )

    def _resource(self, logical_id: str, attribute: str | None) -> str:
        """Return what a reference to a resource stands for.

        What is not imitated is known by its name: a bus, a secret or a table is called by it in local servers too.
        """
        if logical_id not in self._resources:
            raise TemplateError(f"{logical_id} is neither a parameter nor a resource")
        resource = self._resources[logical_id]
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind == "AWS::SQS::Queue":
            name = self._queue_name(logical_id)
            arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
            return {"Arn": arn, "QueueName": name}.get(attribute or "", f"{self._sqs_url}/{ACCOUNT}/{name}")
        if kind == "AWS::Serverless::Function":
            name = str(self._resolver.value(properties.get("FunctionName", logical_id)))
            return function_arn(name) if attribute == "Arn" else name
        return str(self._resolver.value(properties.get("Name", logical_id)))


def _text(value: Any) -> str:
    """Return a value as CloudFormation hands it on: objects as JSON, booleans in lower case."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
