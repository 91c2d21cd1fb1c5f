"""The built-in demo: an invented practice as it was found, its EHR accounts, and what is to come of them.

`clinic`, `account` and `athena_account` have the formats of CLINIC=, INTAKEQ_ACCOUNT= and ATHENA_ACCOUNT=. Everything
is derived from constants, so that each run makes the same files; as each row is made, so is the record of what a
correct system does with it.
"""

from local.demo_data.account import account
from local.demo_data.athena import athena_account
from local.demo_data.expectations import expected
from local.demo_data.files import clinic

__all__ = ["account", "athena_account", "clinic", "expected"]
