"""Payers, contracts and supervision: who may be booked for whom."""
