"""ImageNet-C's layout: DIR/<corruption>/<severity>/<class>/<index>.png."""

__all__ = ["ImageFolder"]

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from rwsstore.cpu import thread_count
from rwsstore.errors import ConfigError
from rwsstore.export.job import Job, Pictures
from rwsstore.export.layout import Part
from rwsstore.export.options import PICTURE_FORMATS
from rwsstore.files import make_folders, staged_folder
from rwsstore.progress import Task

_MOST_THREADS = 8
# Noise hardly compresses: more effort takes ten times as long and saves a few percent.
_PNG_EFFORT = 1
# As ImageNet-C was published.
_JPEG_QUALITY = 85


class ImageFolder:
    """One picture a file, in a folder for each corruption, severity and class."""

    name = "imagefolder"
    summary = "one picture a file: corruption/severity/class/index"

    def parts(self, job: Job) -> Iterator[Part]:
        """A folder for each corruption and severity."""
        for name in job.options.corruptions:
            for severity in job.options.severities:
                yield Part(name, (severity,), job.folder / name / str(severity))

    def prepare(self, job: Job) -> None:
        """Refuse a class whose name cannot name a folder.

        Raises:
            ConfigError: there is one.
        """
        for name in job.images.classes:
            if name.startswith(".") or "/" in name or "\0" in name:
                raise ConfigError(
                    f"the class {name!r} cannot name a folder; the layout cifar-c needs none"
                )

    def write(self, job: Job, part: Part, task: Task) -> None:
        """Write one corruption at one severity."""
        make_folders(part.path.parent)
        (severity,) = part.severities
        with staged_folder(part.path) as folder, ThreadPoolExecutor(_threads()) as pool:
            for name in job.images.classes:
                (folder / name).mkdir()
            for start, pictures in job.corrupted(part.corruption, severity):
                paths = [_path(job, folder, start + place) for place in range(len(pictures))]
                for _ in pool.map(_save, pictures, paths):
                    pass
                task.advance(len(pictures), note=f"{part.corruption} {severity}")

    def write_common(self, job: Job) -> None:
        """The folders say all."""


def _threads() -> int:
    return min(_MOST_THREADS, thread_count())


def _path(job: Job, folder: Path, place: int) -> Path:
    """Named by the index in the data set, with leading zeros, so that names sort as indices do."""
    digits = max(5, len(str(job.indices[-1])))  # they rise
    index = f"{job.indices[place]:0{digits}d}{PICTURE_FORMATS[job.options.picture_format]}"
    return folder / job.images.classes[int(job.images.labels[place])] / index


def _save(pixels: Pictures, path: Path) -> None:
    picture = Image.fromarray(pixels)
    if path.suffix == PICTURE_FORMATS["png"]:
        picture.save(path, "PNG", compress_level=_PNG_EFFORT)
    else:
        picture.save(path, "JPEG", quality=_JPEG_QUALITY, optimize=True)
