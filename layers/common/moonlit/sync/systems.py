"""Where our own tables keep what each EHR calls people: one place for all statements of this package.

Each is a subquery with a column `system`, so that a statement serves every account and names the one it is for.
"""

from __future__ import annotations

# The system of the account that a statement is about.
SYSTEM = "(select system from ehr_accounts where id = :account_id)"

# Who gives the visits of a practitioner. In athenahealth one may sit in several departments, under a provider for
# each; in IntakeQ the place of a visit says nothing about who gives it.
SEATS = """(
        select 'intakeq' as system, practitioner_id, null as location_id, provider_id from provider_intakeq_settings
        union all
        select 'athena', athena_provider_id, department_id, provider_id from provider_athena_settings)"""

# By which number a patient is known.
NUMBERS = """(
        select 'intakeq' as system, intakeq_client_id as client_id, id as patient_id from patients
        union all
        select 'athena', athena_patient_id, id from patients)"""
