"""`python -m local.load_clinic FILE`: load a clinic file into the empty database of DATABASE_URL."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from local.clinic import ClinicRefused, load, read_file
from local.clinic.target import transaction, unreachable


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the file and print what was found odd; 1 when it was refused, with the reasons."""
    parser = argparse.ArgumentParser(prog="python -m local.load_clinic", description=__doc__)
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args(arguments).file
    try:
        content = read_file(file)
        with transaction() as connection:
            report = load(connection, content)
    except ClinicRefused as refused:
        print(f"{file.name} was not loaded, nothing was written:\n{refused}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        print(f"{file.name} was not loaded, nothing was written: {unreachable(error)}", file=sys.stderr)
        return 1
    print(f"{file.name} is loaded.\n{report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
