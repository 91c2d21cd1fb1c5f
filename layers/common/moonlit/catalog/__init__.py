"""What the practice offers and where: services, locations, rooms."""
