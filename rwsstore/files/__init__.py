"""Files: everything that rwsstore stores is written and read through this package."""

__all__ = [
    "MAX_HEADER_BYTES",
    "MAX_TENSORS",
    "OS_FILES",
    "FileMark",
    "Header",
    "OsFiles",
    "Results",
    "TensorEntry",
    "is_temporary",
    "load_tensors",
    "make_folders",
    "read_bounded",
    "read_header",
    "read_toml",
    "remove_temporaries",
    "staged_file",
    "staged_folder",
    "write_atomic",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.files.atomic import (
        is_temporary,
        make_folders,
        read_bounded,
        read_toml,
        remove_temporaries,
        staged_file,
        staged_folder,
        write_atomic,
    )
    from rwsstore.files.header import (
        MAX_HEADER_BYTES,
        MAX_TENSORS,
        Header,
        TensorEntry,
        load_tensors,
        read_header,
    )
    from rwsstore.files.layer import OS_FILES, FileMark, OsFiles
    from rwsstore.files.results import Results
else:
    faces.lazy(__name__)
