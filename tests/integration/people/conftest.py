from tests.fixtures_functions import functions
from tests.fixtures_intakeq import open_intakeq, start_intakeq
from tests.fixtures_people import staff

__all__ = ["functions", "open_intakeq", "staff", "start_intakeq"]
