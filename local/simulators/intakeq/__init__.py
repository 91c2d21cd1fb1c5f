"""A simulator of IntakeQ, quirks included: `make_app` for tests, `python -m local.simulators.intakeq` for the stack."""

from local.simulators.intakeq.app import make_app

__all__ = ["make_app"]
