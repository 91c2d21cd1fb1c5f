"""AWS's services on one machine: moto's server as a child of the stack (`python -m local.moto_server`)."""

from __future__ import annotations

import json
import logging
import signal

from moto.server import ThreadedMotoServer


def main() -> None:
    """Serve on any free port, announce it, and wait for the end."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # A line for each poll would be all there is to read.
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
