"""Payers with their contracts and supervision as staff keep them, and why a payer is bookable or not."""
