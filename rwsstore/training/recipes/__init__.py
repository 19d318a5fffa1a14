"""Training recipes: rows of a registry that plug into the one training loop."""
