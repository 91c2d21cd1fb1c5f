"""Logs and metrics: ids, codes, counts and times, never people (docs/observability.md)."""

from __future__ import annotations

from aws_lambda_powertools import Logger

# The service's name comes from POWERTOOLS_SERVICE_NAME, which the template sets for each function.
logger = Logger(utc=True)
