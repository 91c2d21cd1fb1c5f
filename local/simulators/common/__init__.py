"""What every simulator of a vendor has: faults to order, a list of requests, controls, and a way to serve."""
