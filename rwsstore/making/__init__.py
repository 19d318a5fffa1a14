"""From a recipe to a published patch, and from a configuration to a bundle."""

__all__ = [
    "BundleCard",
    "BundleConfig",
    "build_bundle",
    "card_markdown",
    "read_config",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.making.build import build_bundle
    from rwsstore.making.card import BundleCard
    from rwsstore.making.config import BundleConfig, read_config
    from rwsstore.making.markdown import card_markdown
else:
    faces.lazy(__name__)
