"""The rows of benchmarks/serving.py that are measured in one process, and how rows are shown."""
