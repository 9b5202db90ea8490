"""PostgreSQL: the connection pool, the schema, the embedded server and one module per table family."""
