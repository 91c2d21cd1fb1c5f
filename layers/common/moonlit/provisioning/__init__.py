"""What makes a payer bookable: service instances and their mappings, planned, applied and undone."""
