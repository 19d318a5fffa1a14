"""CIFAR-10-C's layout: an array for each corruption, and the labels.

DIR/<corruption>.npy is uint8 [S·N, H, W, 3], severity by severity: rows 0 … N - 1 are all images
at the first severity, and so on. DIR/labels.npy is int64 [S·N], the labels S times over.
"""

__all__ = ["CifarC"]

from collections.abc import Iterator

import numpy as np

from rwsstore.export.job import Job
from rwsstore.export.layout import Part
from rwsstore.files import staged_file
from rwsstore.progress import Task


class CifarC:
    """One array a corruption, written piece by piece."""

    name = "cifar-c"
    summary = "one .npy an corruption, severity by severity, and labels.npy"

    def parts(self, job: Job) -> Iterator[Part]:
        """A file for each corruption."""
        severities = job.options.severities
        for name in job.options.corruptions:
            yield Part(name, severities, job.folder / f"{name}.npy")

    def prepare(self, job: Job) -> None:
        """An array holds any images."""

    def write(self, job: Job, part: Part, task: Task) -> None:
        """Write one corruption's array."""
        count = len(part.severities) * len(job.images)
        _, channels, height, width = job.images.images.shape
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, height, width, channels)}
        with staged_file(part.path) as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for severity in part.severities:
                for _, pictures in job.corrupted(part.corruption, severity):
                    stream.write(pictures.data)
                    task.advance(len(pictures), note=f"{part.corruption} {severity}")

    def write_common(self, job: Job) -> None:
        """Write the labels."""
        labels = np.tile(job.images.labels.numpy(), len(job.options.severities))
        with staged_file(job.folder / "labels.npy") as stream:
            np.save(stream, labels.astype(np.int64), allow_pickle=False)
