"""A backfill is killed: what is done is done once, the next run finishes, and all of it can be undone."""

from __future__ import annotations

from itertools import count
from uuid import UUID

import pytest

from moonlit.provisioning import use_cases
from moonlit.provisioning.errors import RunOvertaken
from moonlit.provisioning.request import RunRequest
from moonlit.provisioning.use_cases import Provisioner
from tests import dying
from tests.integration.provisioning import killing
from tests.integration.provisioning.clinics import ADMIN, ZONE, Found

# It opens the run, does four batches of eight and the orphans, and adds up.
LEAST_COMMITS = 6


def died(found: Found, url: str, dies_at: str) -> bool:
    """Let a process make payers bookable, and tell whether it died of it."""
    context = dying.warm(killing.__name__)
    process = context.Process(target=killing.apply, args=(url, found.clock.now(), dies_at))
    process.start()
    process.join(60)
    assert process.exitcode in (killing.DONE, killing.SIGKILLED)
    return process.exitcode == killing.SIGKILLED


def runs(found: Found) -> set[UUID]:
    return {row["id"] for row in found.rows("select id from provisioning_runs")}


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_the_next_run_finishes_and_all_is_undone_in_turn(found: Found, app_url: str, moment: str) -> None:
    before = found.export()
    whole = found.run("apply")
    after = found.export()
    found.undo(whole.run_id)
    assert found.export() == before
    for number in count(1):
        known = runs(found)
        if not died(found, app_url, f"{number} {moment}"):
            break
        killed = runs(found) - known
        rest = found.run("apply")
        assert found.export() == after
        assert found.run("apply").actions == []
        done_before = sum(found.shown(run_id).actions_total for run_id in killed)
        assert done_before + len(rest.actions) == len(whole.actions)
        for run_id in (rest.run_id, *killed):
            found.undo(run_id)
        assert found.export() == before
    assert number > LEAST_COMMITS


def test_a_run_that_is_undone_while_it_is_under_way_does_no_more(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found.export()
    monkeypatch.setattr(use_cases, "BATCH_PAYERS", killing.BATCH_PAYERS)
    left = iter([900.0, 900.0])

    def undone_after_two_batches() -> float:
        try:
            return next(left)
        except StopIteration:
            (running,) = found.rows("select id from provisioning_runs")
            found.undo(running["id"])
            return 900.0

    provisioner = Provisioner(found.begin, found.clock, ZONE, undone_after_two_batches)
    with pytest.raises(RunOvertaken):
        provisioner.run(RunRequest(mode="apply"), ADMIN)
    assert found.export() == before
