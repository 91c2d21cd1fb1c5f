"""The built-in demo: an invented practice as it was found, its IntakeQ account, and what is to come of them.

`clinic` and `account` have the formats of CLINIC= and INTAKEQ_ACCOUNT=. Everything is derived from constants, so that
each run makes the same files; as each row is made, so is the record of what a correct system does with it.
"""

from local.demo_data.account import account
from local.demo_data.expectations import expected
from local.demo_data.files import clinic

__all__ = ["account", "clinic", "expected"]
