"""The Python SDK of rwsstore."""
