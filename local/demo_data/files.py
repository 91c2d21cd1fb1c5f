"""The clinic file of the demo: a practice as it was found."""

from __future__ import annotations

from typing import Any

from local.demo_data.ids import AS_OF, text
from local.demo_data.payers import contract_rows, payer_rows
from local.demo_data.people import patient_tables
from local.demo_data.practice import PROVIDERS, catalog_tables, organization_tables, practice_row, provider_tables
from local.demo_data.story import story


def clinic() -> dict[str, Any]:
    """Return the clinic file."""
    return {
        "as_of": text(AS_OF),
        "practice": practice_row(),
        "payers": payer_rows(),
        "provider_payer_networks": contract_rows([provider.id for provider in PROVIDERS]),
        **organization_tables(),
        **provider_tables(),
        **catalog_tables(),
        **patient_tables(),
        "appointments": [held.row() for held in story().held.values()],
    }
