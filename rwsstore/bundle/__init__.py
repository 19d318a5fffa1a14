"""Left for one version: what comes with the package is in `bundled`, its builder in `making`.

The bundled model's configuration stays here until then: `rws bundle --help` names this path.
"""

from rwsstore.moved import moved

_BUNDLED = ("BUNDLED", "bundled_folder", "bundled_model", "bundled_store", "packaged_formats")
_MAKING = ("BundleCard", "BundleConfig", "build_bundle", "card_markdown", "read_config")

__getattr__ = moved(
    __name__,
    dict.fromkeys(_BUNDLED, "rwsstore.bundled") | dict.fromkeys(_MAKING, "rwsstore.making"),
)
