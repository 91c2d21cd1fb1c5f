"""The whole of Moonlit Scheduler on one machine."""
