"""Training recipes: rows that plug into the one training loop, each above its class."""

from rwsstore.training.recipes import adversarial, failing, layers, plain  # noqa: F401  (the rows)
