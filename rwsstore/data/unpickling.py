"""A reader of pickles that builds dictionaries, lists, strings, numbers and arrays, no more."""

__all__ = ["load_arrays"]

import _codecs
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rwsstore.errors import FormatError


def _empty_array(*_: object) -> np.ndarray[Any, Any]:
    # The array's state, which follows in the pickle, sets its true shape, dtype and content.
    return np.ndarray((0,), dtype=np.uint8)


# What a pickled numeric array needs, under the names of numpy 1 (the published files) and 2.
_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _codecs.encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise FormatError(f"asks for {module}.{name}, which is not allowed") from None


def load_arrays(data: bytes, *, what: str) -> dict[str, Any]:
    """Read a pickled dictionary, as Python 2 wrote it.

    Call it on bytes whose hash was checked: this is a second fence, not the first.

    Raises:
        FormatError: the pickle is damaged, asks for anything but arrays, or is no dictionary.
    """
    try:
        content = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except FormatError as error:
        raise FormatError(f"{what} {error}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise FormatError(f"{what} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(f"{what} holds a {type(content).__name__}; expected a dictionary")
    return content
