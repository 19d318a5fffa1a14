"""Images as they come in: one as the body, or several as the parts of a form."""

__all__ = ["IMAGE_BODY", "Upload", "read_upload"]

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from rwsstore_service.problems import ProblemError
from rwsstore_service.settings import Settings

_IMAGES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
_FORM = "multipart/form-data"
_TEXTS = ("patchset", "top_k", "timeout_ms")
_MAX_TEXT = 16_384

_BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One image, or a form: every file in it is an image, whatever its part is "
        "called.",
        "content": {
            **dict.fromkeys(_IMAGES, _BINARY),
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "minItems": 1,
                            "maxItems": 64,
                        },
                        "patchset": {"type": "string", "examples": ["fog=0.6,gaussian_blur=0.4"]},
                        "top_k": {"type": "integer", "minimum": 1},
                        "timeout_ms": {"type": "integer", "minimum": 1, "maximum": 3_600_000},
                    },
                }
            },
        },
    }
}
"""What OpenAPI says of the body."""


@dataclass(frozen=True)
class Upload:
    """What a request brought.

    Attributes:
        files: bytes of the images.
        texts: the form's other fields.
    """

    files: tuple[bytes, ...]
    texts: dict[str, str]


class _InMemory(MultiPartParser):
    """Keeps files in memory, which the body's limit bounds; nothing is written to disk.

    Texts are UTF-8: a charset in the request could name any of Python's codecs.
    """

    spool_max_size = 2**40
    whole = False

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._charset = "utf-8"

    def on_end(self) -> None:
        self.whole = True

    def close(self) -> None:
        """Free the files, those of parts that never ended too."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_upload(request: Request, settings: Settings) -> Upload:
    """Read images from a request's body.

    Raises:
        ProblemError: another kind of content, a form that cannot be read, no image or too many,
            or one that is too large.
    """
    media = request.headers.get("content-type", "application/octet-stream")
    kind = media.partition(";")[0].strip().lower()
    if kind == _FORM:
        upload = await _read_form(request, settings)
    elif kind in _IMAGES:
        upload = Upload((await request.body(),), {})
    else:
        raise ProblemError(
            "unsupported-media",
            f"Content-Type is {kind[:60]!a}; expected an image ({', '.join(_IMAGES)}) or "
            f"{_FORM} with files",
        )
    _check(upload, settings)
    return upload


async def _read_form(request: Request, settings: Settings) -> Upload:
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=settings.max_images,
        max_fields=len(_TEXTS),
        max_part_size=_MAX_TEXT,
    )
    try:
        form = await parser.parse()
        if not parser.whole:
            raise MultiPartException("The form ends before its last boundary.")
        return await _sort(form)
    except MultiPartException as error:
        large = error.message.startswith(("Too many", "Part exceeded"))
        raise ProblemError("too-large" if large else "bad-request", error.message) from None
    except ValueError:  # of a charset that Python cannot even look for
        raise ProblemError("bad-request", "the form's Content-Type cannot be read") from None
    finally:
        parser.close()


async def _sort(form: FormData) -> Upload:
    files, texts = [], {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and name not in _TEXTS:  # whatever else it is called
            files.append(await value.read())
        elif name in _TEXTS and isinstance(value, str) and name not in texts:
            texts[name] = value
        else:
            raise ProblemError(
                "invalid-request",
                f"unexpected form field {name[:60]!a}; expected files (images), and at most one "
                f"each of {', '.join(_TEXTS)}, as text",
            )
    return Upload(tuple(files), texts)


def _check(upload: Upload, settings: Settings) -> None:
    if not upload.files or not all(upload.files):
        raise ProblemError("invalid-request", "there is no image, or an empty one")
    largest = max(map(len, upload.files))
    if largest > settings.max_image_bytes:
        raise ProblemError(
            "too-large",
            f"an image of {largest:,} bytes; at most {settings.max_image_bytes:,} are read",
        )
