"""What the schedule or a person may say to the nightly sync."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from moonlit.web.models import Model


class SyncRequest(Model):
    """A call of `sync_cron`; everything has a default.

    Attributes:
        wait_seconds: How long the answer may wait for the run to be finished.
        confirm_brake: A person has looked at what stopped the last run: this one may cancel as much.
    """

    sync_type: Literal["automated_daily", "manual_org"] = "automated_daily"
    wait_seconds: float = Field(default=25, ge=0, le=600)
    confirm_brake: bool = False
