"""The admitted dataset, a Delta table: its schema, admissions, contents and recalls."""
