"""Keeping our visits true to the EHR."""
