"""`python -m local.export_clinic FILE`: write the database of DATABASE_URL as a clinic file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from local.clinic import ClinicRefused, export
from local.clinic.exporter import latest_change
from local.clinic.target import clock, transaction, unreachable


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; 1 when there is nothing to export, or no way to."""
    parser = argparse.ArgumentParser(prog="python -m local.export_clinic", description=__doc__)
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args(arguments).file
    try:
        with transaction() as connection:
            # A file may come from a stack whose clock was set ahead: what is in it has happened all the same.
            now = max(clock().now(), latest_change(connection) or clock().now())
            content = export(connection, now)
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except ClinicRefused as refused:
        print(f"Nothing was exported: {refused}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        print(f"Nothing was exported: {unreachable(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{file.name} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{file.name}: {sum(len(rows) for rows in content.values() if isinstance(rows, list))} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
