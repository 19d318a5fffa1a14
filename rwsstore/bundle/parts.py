"""What the parts of a bundle's card have in common."""

__all__ = ["Part"]

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from rwsstore.errors import FormatError
from rwsstore.files import read_bounded

_LIMIT = 2**22


class Part(BaseModel):
    """Immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what was written.

        Raises:
            MissingFileError: there is no such file.
            FormatError: it is damaged, or a newer rwsstore wrote it.
        """
        data = read_bounded(path, limit=_LIMIT, what=str(path))
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise FormatError(f"{path} is damaged: {where}: {first['msg']}") from None
