"""Servers that stand in for the vendors on one machine, quirks and limits included."""
