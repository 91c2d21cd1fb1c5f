"""The routes of the practice's own people, an area each; functions/admin serves them all."""
