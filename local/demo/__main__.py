"""`python -m local.demo`: tell the whole story; exit 0 only if every step held.

NOW, CLINIC, INTAKEQ_ACCOUNT and INTAKEQ_BASE_URL choose what it is told of, as in `make up`. The stack is the demo's
own: a folder and a port of its own, so a running `make up` is not disturbed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from local.demo.booking import book, find_slots
from local.demo.clinic import accepted, loaded, started
from local.demo.demo import Demo, Step
from local.demo.ehr import Ehr
from local.demo.nights import first_night, second_night
from local.demo.partners import refresh_all, see_roster
from local.demo.provisioning import backfill, new_payer
from local.demo.report import Report
from local.demo.site import Site
from local.demo.trouble import lose_answer, lose_race
from local.demo.webhook import hear_of_change, nothing_open
from local.options import BadOption, Options
from local.running import StackNotStarted, running_stack
from local.state import State

STORY: tuple[tuple[str, Callable[[Demo], Step]], ...] = (
    ("Start everything", started),
    ("Load the clinic as it was found", loaded),
    ("Which payers are taken", accepted),
    ("The first night", first_night),
    ("Make payers bookable", backfill),
    ("Find slots", find_slots),
    ("A new payer", new_payer),
    ("Book, and look into the EHR", book),
    ("Lose a race on purpose", lose_race),
    ("The EHR fails on purpose", lose_answer),
    ("Changes in the EHR, the second night", second_night),
    ("A webhook", hear_of_change),
    ("What a partner organization sees", see_roster),
    ("A refresh on demand", refresh_all),
    ("What is left open", nothing_open),
)


def tell(options: Options, report: Report) -> bool:
    """Start a stack, tell the story on it, and return whether every step held.

    Raises:
        StackNotStarted: There is nothing to tell it on.
    """
    began = time.monotonic()
    state = options.state
    with running_stack(state.folder) as description:
        ehr = Ehr(_simulator(options, description["simulators"]))
        demo = Demo(options, state.logs, Site(description), ehr, time.monotonic() - began)
        for title, step in STORY:
            report.step(title, step(demo))
    return report.verdict(time.monotonic() - began)


def _simulator(options: Options, simulators: dict[str, str]) -> str:
    """Return the root of the EHR's simulator, the stack's or the one that INTAKEQ_BASE_URL names."""
    if options.intakeq_base_url is None:
        return simulators["intakeq"]
    parts = urlsplit(options.intakeq_base_url)
    return f"{parts.scheme}://{parts.netloc}"


def main() -> int:
    """Tell the story of the clinic that the environment names; 1 when something did not hold."""
    report = Report(sys.stdout)
    try:
        options = Options.from_environment(os.environ)
    except BadOption as error:
        report.say(str(error))
        return 1
    folder = Path(tempfile.mkdtemp(prefix="moonlit-demo-"))
    report.say(f"Moonlit Scheduler: the main job, on {os.environ.get('CLINIC') or 'the built-in clinic'}.")
    try:
        all_held = tell(replace(options, state=State(folder)), report)
    except StackNotStarted as error:
        report.say(f"\nThe stack did not start: {error}")
        all_held = False
    except KeyboardInterrupt:
        report.say("\nStopped.")
        all_held = False
    if all_held:
        shutil.rmtree(folder)
    else:
        report.say(f"What every process wrote is in {folder}")
    return 0 if all_held else 1


if __name__ == "__main__":
    sys.exit(main())
