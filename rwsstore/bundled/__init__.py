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

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
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
else:
    faces.lazy(__name__)
