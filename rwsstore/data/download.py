"""Fetching a dataset's archive, through torchvision."""

__all__ = ["fetch_archive"]

import contextlib
import sys
from pathlib import Path

from rwsstore.errors import MissingFileError


def fetch_archive(url: str, md5: str, into: Path, result: Path) -> None:
    """Download an archive, compare its MD5, unpack it and remove it.

    Args:
        url: where it is published.
        md5: of the archive.
        into: the folder to unpack in; made where absent.
        result: the folder that the archive holds, for the message.

    Raises:
        MissingFileError: it could not be fetched; the message says where to put the files.
    """
    from rwsstore.models.vision_shim import import_torchvision

    import_torchvision()
    from torchvision.datasets.utils import download_and_extract_archive

    try:
        # torchvision prints; standard output belongs to the results.
        with contextlib.redirect_stdout(sys.stderr):
            download_and_extract_archive(url, str(into), md5=md5, remove_finished=True)
    except (OSError, RuntimeError) as error:
        raise MissingFileError(
            f"{result} holds none of the dataset's files and fetching them failed ({error}); "
            f"download {url} elsewhere and unpack it in {into}"
        ) from error
