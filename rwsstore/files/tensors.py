"""Reading the tensors of a safetensors file from the very bytes that were checked."""

__all__ = ["load_tensors"]

import safetensors
import safetensors.torch
from torch import Tensor

from rwsstore.errors import FormatError
from rwsstore.files.header import Header, read_header


def load_tensors(data: bytes, *, what: str) -> tuple[dict[str, Tensor], Header]:
    """Check a whole safetensors file and read its tensors, on the CPU, in memory of their own.

    Args:
        data: the whole file. Never a path: what was hashed is what is parsed.
        what: what the file is called in messages ("patch", "checkpoint").

    Returns:
        The tensors by name, and the header.

    Raises:
        FormatError: as `read_header`, or the safetensors library refuses the file.
    """
    header = read_header(data, what=what)
    try:
        return safetensors.torch.load(data), header
    except safetensors.SafetensorError as error:
        raise FormatError(f"{what}: {error}.") from error
