from tests.fixtures_athena import start_athena
from tests.fixtures_booking import account, office
from tests.fixtures_house import clients, house, schedule, side, vendors
from tests.fixtures_intakeq import open_intakeq, start_intakeq

__all__ = [
    "account",
    "clients",
    "house",
    "office",
    "open_intakeq",
    "schedule",
    "side",
    "start_athena",
    "start_intakeq",
    "vendors",
]
