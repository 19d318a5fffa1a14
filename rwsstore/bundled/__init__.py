"""The model that comes with the package, its patches, and where a bundle's parts lie."""

__all__ = [
    "BUNDLED",
    "CardPart",
    "bundled_folder",
    "bundled_model",
    "bundled_store",
    "card_path",
    "model_path",
    "packaged_formats",
    "store_path",
]

from rwsstore.bundled.contents import (
    BUNDLED,
    CardPart,
    bundled_folder,
    bundled_model,
    bundled_store,
    card_path,
    model_path,
    packaged_formats,
    store_path,
)
