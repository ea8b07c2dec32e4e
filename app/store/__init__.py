"""One database: engine, tables, migrations, and the stores on them."""
