"""A tiny dataset in the form of the published CIFAR files: what Python 2 and numpy 1 pickled."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rwsstore.data.cifar import CIFAR10, CifarFiles

NAMES = ("plane", "car", "cat")


def py2_text(text: str) -> bytes:
    """A byte string of Python 2 (opcode SHORT_BINSTRING)."""
    return b"U" + bytes([len(text)]) + text.encode()


def py2_list(items: list[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def py2_dict(items: dict[str, bytes]) -> bytes:
    body = b"".join(py2_text(key) + value for key, value in items.items())
    return b"\x80\x02}(" + body + b"u."


def py2_int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def py2_array(array: NDArray[np.uint8]) -> bytes:
    """A uint8 array, two-dimensional, as numpy 1 reduced it."""
    rows, columns = array.shape
    blank = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + py2_int(-1) * 2 + b"K\x00tb"
    shape = py2_int(rows) + py2_int(columns) + b"\x86"
    raw = array.tobytes()
    return blank + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"


def batch(array: NDArray[np.uint8], labels: list[int], key: str = "labels") -> bytes:
    return py2_dict({"data": py2_array(array), key: py2_list([py2_int(y) for y in labels])})


def noise(count: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def contents(published: CifarFiles = CIFAR10) -> dict[str, bytes]:
    """Two images for each training file, three for the test file."""
    files = {
        name: batch(noise(2, seed), [seed % 3, 2], published.labels_key)
        for seed, name in enumerate(published.train)
    }
    for name in published.test:
        files[name] = batch(noise(3, 99), [0, 1, 2], published.labels_key)
    names = py2_list([py2_text(name) for name in NAMES])
    files[published.meta[0]] = py2_dict({published.names_key: names})
    return files


def write(folder: Path, files: dict[str, bytes], published: CifarFiles = CIFAR10) -> CifarFiles:
    """Write the files and return the description that holds their MD5s."""
    folder.mkdir(parents=True)
    md5 = {}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        md5[name] = hashlib.md5(data).hexdigest()
    return replace(
        published,
        train={name: md5[name] for name in published.train},
        test={name: md5[name] for name in published.test},
        meta=(published.meta[0], md5[published.meta[0]]),
    )
