"""Serve an account file: `python -m local.simulators.intakeq --account FILE [--port 0]`."""

from __future__ import annotations

from local.simulators.common.serving import main
from local.simulators.intakeq.app import make_app

if __name__ == "__main__":
    main("local.simulators.intakeq", make_app)
