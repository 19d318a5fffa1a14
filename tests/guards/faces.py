"""Where the guards find what they hold. When one of these moves, this is the one edit."""

__all__ = ["bundled_folder", "bundled_model", "bundled_store", "cli", "main"]

from rwsstore.bundled import bundled_folder, bundled_model, bundled_store
from rwsstore.cli.main import cli, main
