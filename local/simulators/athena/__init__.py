"""A simulator of athenahealth, quirks included: `make_app` for tests, `python -m local.simulators.athena` to run."""

from local.simulators.athena.app import make_app

__all__ = ["make_app"]
