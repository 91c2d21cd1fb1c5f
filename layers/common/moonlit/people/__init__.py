"""Providers with their hours and time off, partner organizations and their people, as staff keep them."""
