"""Serve an account file: `python -m local.simulators.athena --account FILE [--port 0]`."""

from __future__ import annotations

from local.simulators.athena.app import make_app
from local.simulators.common.serving import main

if __name__ == "__main__":
    main("local.simulators.athena", make_app)
