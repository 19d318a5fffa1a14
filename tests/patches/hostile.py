"""Patch files taken apart and put together again, wrongly."""

import json
from collections.abc import Callable
from typing import Any

from safetensors.torch import save
from torch import Tensor

from rwsstore.canonical import canonical_json
from rwsstore.files import load_tensors
from rwsstore.patches import Patch

Document = dict[str, Any]
Tensors = dict[str, Tensor]


def take_apart(patch: Patch) -> tuple[Document, Tensors]:
    """A patch file's description and tensors, free to be changed."""
    tensors, header = load_tensors(patch.to_bytes(), what="patch")
    return json.loads(header.metadata["rwsstore"]), tensors


def put_together(document: Document | str, tensors: Tensors) -> bytes:
    """A file with this description, as JSON values or as the text itself."""
    text = document if isinstance(document, str) else canonical_json(document)
    return save(tensors, metadata={"rwsstore": text})


def with_description(patch: Patch, change: Callable[[Document], object]) -> bytes:
    """The patch's file with its description changed in place."""
    document, tensors = take_apart(patch)
    change(document)
    return put_together(document, tensors)


def with_text(patch: Patch, change: Callable[[str], str]) -> bytes:
    """The patch's file with another text of its description."""
    document, tensors = take_apart(patch)
    return put_together(change(canonical_json(document)), tensors)


def with_tensors(patch: Patch, change: Callable[[Tensors], object]) -> bytes:
    """The patch's file with its tensors changed in place."""
    document, tensors = take_apart(patch)
    change(tensors)
    return put_together(document, tensors)
