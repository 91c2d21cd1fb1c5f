"""Who may sign in: the practice's own people, and those of partner organizations."""
