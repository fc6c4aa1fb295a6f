"""The report: one schema, and one renderer a file."""
