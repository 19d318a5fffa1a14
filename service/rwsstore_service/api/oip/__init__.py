"""The Open Inference Protocol's shapes, in JSON and in binary. No HTTP in here."""
