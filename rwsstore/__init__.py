"""rwsstore: one clean image classifier and a store of tiny robustness patches.

The packages, in the order in which a patch meets them: `models`, `data`, `corruptions`,
`training`, `making`, `patches`, `store`, `runtime`, `measure`.
"""

from rwsstore.moved import keep_old_names

__all__ = ["__version__"]

__version__ = "0.1.0"

keep_old_names()
