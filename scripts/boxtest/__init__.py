"""The box, tested with a real engine; `scripts/box-test` runs it."""
