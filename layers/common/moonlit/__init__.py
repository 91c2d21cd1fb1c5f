"""The scheduling back end of a behavioural-health group practice."""

__version__ = "0.1.0"
