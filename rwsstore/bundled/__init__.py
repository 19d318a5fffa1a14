"""The model that comes with the package, its patches, and where a bundle's parts lie."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.bundled.contents import (
        BUNDLED as BUNDLED,
        CardPart as CardPart,
        bundled_folder as bundled_folder,
        bundled_model as bundled_model,
        bundled_store as bundled_store,
        card_path as card_path,
        model_path as model_path,
        packaged_formats as packaged_formats,
        store_path as store_path,
    )
else:
    faces.lazy(__name__)
