"""Bookings: claims on time, the saga with its ledger, and the sweeper."""
