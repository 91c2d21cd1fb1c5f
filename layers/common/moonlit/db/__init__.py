"""PostgreSQL: the connection and the tables."""
