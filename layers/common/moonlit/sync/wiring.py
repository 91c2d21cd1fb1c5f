"""Puts the parts of the sync together for a process; each is imported and made on first use.

A function needs one or two of them, and all together take longer to import than most of them take to answer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from moonlit import wiring
from moonlit.queues import SqsQueue
from moonlit.settings import QueueSettings, athena_secret, intakeq_secret, load

if TYPE_CHECKING:
    from moonlit.ehr.port import Ehr
    from moonlit.sync.applying import Applier
    from moonlit.sync.feed import FeedReader
    from moonlit.sync.nightly import Nightly
    from moonlit.sync.nights import Nights
    from moonlit.sync.organizations import Organizations
    from moonlit.sync.pull import Meter
    from moonlit.sync.refreshes import Refreshes
    from moonlit.sync.replay import Replayer
    from moonlit.sync.resume import SyncQueues
    from moonlit.sync.run_now import RunNow
    from moonlit.sync.single import SinglePatient
    from moonlit.sync.webhook import AthenaReceiver, Inbox, Receiver


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
    from moonlit.sync.fan_out import FanOut
    from moonlit.sync.nightly import Nightly
    from moonlit.sync.pull import Meter, Puller
    from moonlit.sync.runs import Runs

    begin, clock, time_left = wiring.begin(), wiring.clock(), wiring.deadline.seconds_left
    with begin() as connection:
        account = Runs(connection).account(system=system)
    meter = Meter(DatabaseBudget(begin, account.id, clock))
    puller = Puller(begin, clock, wiring.ehr_with(account.id, meter), meter, time_left)
    return Nightly(system, puller, FanOut(begin, clock, queue("sync_url")), queue("pull_url"))


def nights() -> Nights:
    """Return the nightly syncs of all accounts."""
    from moonlit.sync.nights import Nights

    return Nights(wiring.begin(), nightly)


def run_now() -> RunNow:
    """Return what opens the runs that people start."""
    from moonlit.sync.run_now import RunNow

    return RunNow(wiring.begin(), wiring.clock(), lambda: queue("pull_url"))


@cache
def organizations() -> Organizations:
    """Return what brings organizations up to date."""
    from moonlit.sync.organizations import Organizations

    return Organizations(wiring.begin(), wiring.clock(), wiring.deadline.seconds_left)


def refreshes() -> Refreshes:
    """Return what brings organizations up to date when somebody asks."""
    from moonlit.sync.refreshes import Refreshes

    return Refreshes(wiring.begin(), wiring.clock(), queue("pull_url"))


def single_patient() -> SinglePatient:
    """Return what brings one patient up to date at once."""
    from moonlit.ehr.budget import DatabaseBudget
    from moonlit.sync.single import SinglePatient

    begin, clock = wiring.begin(), wiring.clock()
    return SinglePatient(begin, clock, wiring.ehr_with, lambda account_id: DatabaseBudget(begin, account_id, clock))


def _inbox() -> Inbox:
    from moonlit.sync.webhook import Inbox

    return Inbox(wiring.begin(), wiring.clock(), queue("event_url"))


def receiver() -> Receiver:
    """Return what takes IntakeQ's webhooks in, with the secrets that are valid now."""
    from moonlit.sync.webhook import Receiver

    kept = intakeq_secret()
    return Receiver(_inbox(), kept.webhook_secrets, kept.practice_id)


def athena_receiver() -> AthenaReceiver:
    """Return what takes athenahealth's webhooks in, with the secrets that are valid now."""
    from moonlit.sync.webhook import AthenaReceiver

    kept = athena_secret()
    return AthenaReceiver(_inbox(), kept.webhook_secrets, kept.practice_id)


@cache
def applier() -> Applier:
    """Return what applies stored webhook events."""
    from moonlit.sync.applying import Applier

    # An adapter keeps what it has learned of its account: another one would have to ask for it again.
    return Applier(wiring.begin(), wiring.clock(), cache(_metered), lambda body: athena_receiver().take_apart(body))


def _metered(account_id: UUID) -> tuple[Ehr, Meter]:
    from moonlit.ehr.budget import DatabaseBudget
    from moonlit.sync.pull import Meter

    meter = Meter(DatabaseBudget(wiring.begin(), account_id, wiring.clock()))
    return wiring.ehr_with(account_id, meter), meter


def replayer() -> Replayer:
    """Return what sends stored webhook events to their queue again."""
    from moonlit.sync.replay import Replayer

    return Replayer(wiring.begin(), wiring.clock(), queue("event_url"))


def feed_reader() -> FeedReader:
    """Return what reads the EHRs' feeds of changes."""
    from moonlit.sync.feed import FeedReader

    return FeedReader(wiring.begin(), wiring.clock(), wiring.ehr_of, queue("event_url"), wiring.deadline.seconds_left)


@cache
def queues() -> SyncQueues:
    """Return every queue of the sync, for the sweeper."""
    from moonlit.sync.resume import SyncQueues

    return SyncQueues(queue("pull_url"), queue("sync_url"), queue("event_url"))
