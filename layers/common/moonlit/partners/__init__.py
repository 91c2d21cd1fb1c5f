"""What partner organizations see of the patients they look after, and how they have them brought up to date."""
