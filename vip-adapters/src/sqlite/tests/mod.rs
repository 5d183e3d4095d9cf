//! What only the inside of the adapter can show: statements, migrations, the writer.
