"""Puts the parts of the sync together for a process; each is made on first use."""

from __future__ import annotations

from functools import cache

from moonlit import wiring
from moonlit.queues import SqsQueue
from moonlit.settings import QueueSettings, intakeq_secret, load
from moonlit.sync.fan_out import FanOut
from moonlit.sync.nightly import Nightly
from moonlit.sync.nights import Nights
from moonlit.sync.organizations import Organizations
from moonlit.sync.pull import Meter, Puller
from moonlit.sync.resume import SyncQueues
from moonlit.sync.runs import Runs
from moonlit.sync.webhook import Applier, Receiver


@cache
def queue(name: str) -> SqsQueue:
    """Return the queue that the setting `name` of `QueueSettings` holds the address of.

    Raises:
        ValueError: The function was not given that queue.
    """
    url = getattr(load(QueueSettings), name)
    if not url:
        raise ValueError(f"no queue in {QueueSettings.model_fields[name].alias}")
    return SqsQueue(url)


@cache
def nightly(system: str) -> Nightly:
    """Return the nightly sync of the system's account."""
    from moonlit.ehr.budget import DatabaseBudget

    begin, clock, time_left = wiring.begin(), wiring.clock(), wiring.deadline.seconds_left
    with begin() as connection:
        account = Runs(connection).account(system=system)
    meter = Meter(DatabaseBudget(begin, account.id, clock))
    puller = Puller(begin, clock, wiring.ehr_with(account.id, meter), meter, time_left)
    return Nightly(system, puller, FanOut(begin, clock, queue("sync_url")), queue("pull_url"))


def nights() -> Nights:
    """Return the nightly syncs of all accounts."""
    return Nights(wiring.begin(), nightly)


@cache
def organizations() -> Organizations:
    """Return what brings organizations up to date."""
    return Organizations(wiring.begin(), wiring.clock(), wiring.deadline.seconds_left)


def receiver() -> Receiver:
    """Return what takes webhooks in, with the secrets that are valid now."""
    return Receiver(wiring.begin(), wiring.clock(), queue("event_url"), intakeq_secret().webhook_secrets)


@cache
def applier() -> Applier:
    """Return what applies stored webhook events."""
    return Applier(wiring.begin(), wiring.clock())


@cache
def queues() -> SyncQueues:
    """Return every queue of the sync, for the sweeper."""
    return SyncQueues(queue("pull_url"), queue("sync_url"), queue("event_url"))
