"""Runs in a fresh process on nothing but a function's own path, so it imports the standard library alone.

`python -S -P probe.py app`            imports the function
`python -S -P probe.py modules`        imports the modules that the standard input lists
`python -S -P probe.py call`           imports the function and gives it the event on the standard input
Prints one line of JSON: milliseconds of processor time, the modules loaded with their files, peak memory in MB.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any


class Context:
    """What Lambda tells a handler beside its event."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-west-2:123456789012:function:bench"
    aws_request_id = "bench"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return the time that is left; here it never runs out."""
        return 900_000


def main() -> None:
    """Do what the first argument says."""
    mode = sys.argv[1]
    given: Any = json.load(sys.stdin) if mode != "app" else None
    wanted: list[str] = given if mode == "modules" else ["app"]
    known = set(sys.modules)
    start = process_time()
    for name in wanted:
        import_module(name)
    milliseconds = (process_time() - start) * 1000
    loaded = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if name not in known}
    answer = import_module("app").handler(given, Context()) if mode == "call" else None
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    found = {"milliseconds": milliseconds, "loaded": loaded, "megabytes": int(peak.split()[1]) / 1024, "answer": answer}
    print(json.dumps(found))


main()
