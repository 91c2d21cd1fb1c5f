"""Free time: computed from hours and from everything that takes time."""
