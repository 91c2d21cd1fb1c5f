"""A practice's tables as one JSON file: loaded into an empty database, and exported from one.

The format is what `rows` says: a model for each kind of row, named and ordered as in the file.
"""

from local.clinic.exporter import export
from local.clinic.loader import load
from local.clinic.problems import ClinicRefused, Problem
from local.clinic.reading import read_file
from local.clinic.report import LoadReport, Oddity

__all__ = ["ClinicRefused", "LoadReport", "Oddity", "Problem", "export", "load", "read_file"]
