"""A model with its patches: how one is made, and the one that comes with the package."""

__all__ = [
    "BUNDLED",
    "BundleCard",
    "BundleConfig",
    "build_bundle",
    "bundled_folder",
    "bundled_model",
    "bundled_store",
    "card_markdown",
    "packaged_formats",
    "read_config",
]

from rwsstore.bundle.build import build_bundle
from rwsstore.bundle.card import BundleCard
from rwsstore.bundle.config import BundleConfig, read_config
from rwsstore.bundle.contents import BUNDLED, bundled_folder, bundled_model, bundled_store
from rwsstore.bundle.formats import packaged_formats
from rwsstore.bundle.markdown import card_markdown
