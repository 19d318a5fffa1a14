"""Files: everything that rwsstore stores is written and read through this package."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.files.atomic import (
        OS_FILES as OS_FILES,
        FileMark as FileMark,
        OsFiles as OsFiles,
        is_temporary as is_temporary,
        make_folders as make_folders,
        read_bounded as read_bounded,
        read_toml as read_toml,
        remove_temporaries as remove_temporaries,
        staged_file as staged_file,
        staged_folder as staged_folder,
        write_atomic as write_atomic,
    )
    from rwsstore.files.header import load_tensors as load_tensors, read_header as read_header
    from rwsstore.files.results import Results as Results
else:
    faces.lazy(__name__)
