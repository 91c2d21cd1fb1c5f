"""The practice's own settings."""
