"""The database: connections, migrations, and one module of statements per family of tables."""
