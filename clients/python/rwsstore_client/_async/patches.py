"""The patches in a service's store."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Literal
from uuid import uuid4

from rwsstore_client._async.transport import AsyncTransport
from rwsstore_client._errors import ProtocolError
from rwsstore_client._messages import Query, change, get, path
from rwsstore_client._strengths import Wanted, as_choices
from rwsstore_client.contract import Patch, PatchPage

_PAGE = 1000

Sort = Literal["name", "touched", "payload"]
"""By what a listing is ordered."""

PatchSource = bytes | str | os.PathLike[str]
"""A patch file: its bytes or its path."""


class AsyncPatches:
    """The patches in the service's store.

    A patch is named by its name (the newest version that fits the model), by NAME@VERSION, by its
    digest, or by 8 or more of the digest's first digits.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        kind: str | None = None,
        corruption: str | None = None,
        bits: int | None = None,
        fits: bool | None = None,
        all_versions: bool = False,
        sort: Sort | None = None,
    ) -> tuple[Patch, ...]:
        """List all patches; the filters narrow it down.

        Args:
            kind: only of this kind: rws, composed, ...
            corruption: only for this one.
            bits: only of so many bits.
            fits: only those that belong on the served model, or only the others.
            all_versions: older versions too.
            sort: "name", which it is without; or "touched" or "payload": what touches the fewest
                bytes of the model, or takes the fewest itself, first.
        """
        filters: Query = {
            "kind": kind,
            "corruption": corruption,
            "bits": bits,
            "fits": fits,
            "all_versions": all_versions,
            "sort": sort,
        }
        found: tuple[Patch, ...] = ()
        while True:
            query: Query = {**filters, "limit": _PAGE, "offset": len(found)}
            page = await self._transport.ask(get(path("v1", "patches"), query), PatchPage)
            found += page.patches
            if not page.patches or len(found) >= page.total:
                return found

    async def get(self, patch: str) -> Patch:
        """Describe one patch.

        Raises:
            UnknownPatchError: there is no such patch.
        """
        return await self._transport.ask(get(path("v1", "patches", patch)), Patch)

    async def content(self, patch: str) -> bytes:
        """Fetch the bytes of a patch file, checked against their digest.

        Raises:
            UnknownPatchError: there is no such patch.
        """
        reply = await self._transport.fetch(get(path("v1", "patches", patch, "content")))
        digest = hashlib.sha256(reply.content).hexdigest()
        if reply.headers.get("etag") != f'"{digest}"':
            raise ProtocolError(
                f"the content of {patch!r} has the digest {digest}, the service promised "
                f"{reply.headers.get('etag')}: it was damaged on its way"
            )
        return reply.content

    async def download(self, patch: str, file: str | os.PathLike[str]) -> Path:
        """Fetch a patch into a file, whole or not at all; an existing one is replaced.

        Raises:
            UnknownPatchError: there is no such patch.
            OSError: the file could not be written.
        """
        target = Path(file)
        data = await self.content(patch)
        await asyncio.to_thread(_write_atomic, target, data)
        return target

    async def upload(
        self, source: PatchSource, *, name: str | None = None, expected_version: int | None = None
    ) -> Patch:
        """Store a patch and make it the latest version of a name.

        Args:
            source: the patch file's bytes or its path.
            name: under which name; the patch's own by default.
            expected_version: the latest version that one saw, 0 for none; another one refuses.

        Raises:
            DuplicatePatchError: it is the name's latest version already.
            ConflictError: somebody else published under the name in between.
            InvalidRequestError: that is no patch.
        """
        data = source if isinstance(source, bytes) else await asyncio.to_thread(_read, source)
        query: Query = {"name": name, "expected_version": expected_version}
        request = change("POST", path("v1", "patches"), content=data, query=query)
        return await self._transport.ask(request, Patch)

    async def delete(self, name: str) -> None:
        """Remove a name with all its versions.

        Raises:
            UnknownPatchError: there is no such name.
            PatchInUseError: the active patch set or the history refers to it.
            ConflictError: it came with the service.
        """
        await self._transport.fetch(change("DELETE", path("v1", "patches", name)))

    async def compose(
        self, name: str, parts: Wanted, *, expected_version: int | None = None
    ) -> Patch:
        """Store several patches at fixed strengths as one.

        Args:
            name: of the new patch.
            parts: `{"fog": 0.6, "frost": None}`; None is the recommended strength.
            expected_version: as in `upload`.

        Raises:
            UnknownPatchError: there is no such part.
            InvalidRequestError: the name is not allowed, or the parts do not go together.
        """
        document: dict[str, object] = {"name": name, "parts": as_choices(parts)}
        if expected_version is not None:
            document["expected_version"] = expected_version
        request = change("POST", path("v1", "compositions"), document=document)
        return await self._transport.ask(request, Patch)


def _read(source: str | os.PathLike[str]) -> bytes:
    return Path(source).read_bytes()


def _write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    Raises:
        OSError: it could not be written; what was there before is still there.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
