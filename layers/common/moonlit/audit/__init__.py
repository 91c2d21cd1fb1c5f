"""Who changed what, and who looked at whom."""
