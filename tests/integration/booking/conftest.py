from tests.fixtures_booking import account, office
from tests.fixtures_intakeq import open_intakeq, start_intakeq

__all__ = ["account", "office", "open_intakeq", "start_intakeq"]
