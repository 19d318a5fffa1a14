"""Left for one version: what comes with the package is in `bundled`, its builder in `making`.

The bundled model's configuration stays here until then: `rws bundle --help` names this path.
"""

from rwsstore.moved import moved

__getattr__ = moved(
    __name__,
    "rwsstore.bundled",
    "rwsstore.making",
    "rwsstore.making.card",
    "rwsstore.making.config",
)
