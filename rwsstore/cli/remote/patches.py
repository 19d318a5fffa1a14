"""`rws remote patches`, `show`, `compose`, `delete`, and `push` and `pull`: the service's store."""

from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore.cli.options import PATH, json_option, open_store
from rwsstore.cli.output import (
    card_table,
    patches_table,
    reference_of,
    touched_of,
    write_lines,
    write_result,
)
from rwsstore.cli.remote.connection import patch_argument, read_patchset, with_client
from rwsstore.errors import ConfigError
from rwsstore.progress import ConsoleReporter
from rwsstore.tables import Column, Table, plain

if TYPE_CHECKING:
    from rwsstore.patches import Patch
    from rwsstore.store import Store
    from rwsstore_client import Client, Patch as Described


@click.command("patches", short_help="List the service's patches.")
@with_client
@click.option("--kind", help="Only of this kind: rws, composed, ...")
@click.option("--corruption", metavar="NAME", help="Only for this one.")
@click.option("--bits", type=click.IntRange(2, 32), help="Only of so many bits.")
@click.option("--fits/--fits-not", default=None, help="Only those for the served model, or others.")
@click.option("--all-versions", is_flag=True, help="Older versions too.")
@click.option(
    "--sort",
    type=click.Choice(["name", "touched", "payload"]),
    help="By name, which it is without; or what touches the fewest bytes of the model, or takes "
    "the fewest itself, first.",
)
@json_option
def patches(rws: "Client", as_json: bool, **filters: Any) -> None:
    """List the patches that the service has."""
    found = rws.patches.list(**filters)
    nothing = f"no such patch at {rws.url}; send some with rws remote push"
    document = {"url": rws.url, "patches": [patch.model_dump(mode="json") for patch in found]}
    alpha, fits = Column("alpha", "alpha", "g"), Column("fits", "fits", left=True)
    write_result(as_json, document, patches_table(found, alpha, fits) if found else nothing)


@click.command("show", short_help="Show one patch.")
@patch_argument
@with_client
@json_option
def show(rws: "Client", patch: str, as_json: bool) -> None:
    """Show a patch's description and its robustness card."""
    found = rws.patches.get(patch)
    tables = [Table.of(("", ""), patch_rows(found), f"patch {reference_of(found)}", left=2)]
    if found.card is not None:
        tables.append(card_table(found.card.images, found.card.points))
    write_result(as_json, found.model_dump(mode="json"), *tables)


def patch_rows(patch: "Described") -> Iterator[tuple[str, object]]:
    """All that is known of a patch but its card."""
    yield "kind", patch.kind
    yield "digest", patch.digest
    yield "fits the model", patch.fits
    yield "for the clean weights", patch.clean_weights
    yield "architecture", patch.architecture
    yield "layers", ", ".join(patch.layers) or "-"
    yield "touches", f"{touched_of(patch)} bytes of the model"
    yield "bits", patch.bits or "-"
    yield "bytes", f"{patch.payload_bytes:,} payload, {patch.file_bytes:,} file"
    yield "alpha", f"{patch.alpha:g}, from {patch.alpha_minimum:g} to {patch.alpha_maximum:g}"
    yield "layer", patch.layer
    if patch.corruption is not None:
        yield "corruption", f"{patch.corruption}, severity {patch.severity}"
    if patch.attack is not None:
        budget = "" if patch.budget is None else f", budget {patch.budget:g}"
        yield "attack", f"{patch.attack}{budget}"
    if patch.dataset is not None:
        yield "dataset", patch.dataset
    for part in patch.parts:
        yield "part", f"{part.name} {part.digest[:12]} at {part.alpha:g}"


@click.command("compose", short_help="Store several patches at fixed strengths as one.")
@click.argument("name")
@click.argument("patchset", metavar="PATCH=ALPHA,PATCH=ALPHA,...")
@with_client
@json_option
def compose(rws: "Client", name: str, patchset: str, as_json: bool) -> None:
    """Store a patch NAME on the service that stands for several others.

    \b
    Example:
      rws remote compose foggy_night fog=0.6,gaussian_noise=0.4
    """
    made = rws.patches.compose(name, read_patchset(patchset))
    lines = [f"{part.name} {part.digest[:12]} at alpha {part.alpha:g}" for part in made.parts]
    stored = f"stored {reference_of(made)} {made.digest[:12]}"
    write_result(as_json, made.model_dump(mode="json"), *map(plain, [*lines, stored]))


@click.command("delete", short_help="Delete a patch from the service.")
@patch_argument
@with_client
def delete(rws: "Client", patch: str) -> None:
    """Delete the name PATCH with all its versions from the service's store.

    The service refuses while the active patch set or the history needs one of them.
    """
    rws.patches.delete(patch)
    write_lines([f"deleted {patch}"])


_store_option = click.option(
    "--store",
    "store_path",
    type=PATH,
    help="Folder of the store on this machine; or bundled: what comes with rwsstore. Default: "
    "$RWS_STORE, else the platform's data directory.",
)


@dataclass(frozen=True)
class Moved:
    """What became of one patch where it went; no version where that was not asked."""

    name: str
    digest: str
    version: int | None
    moved: bool
    file_bytes: int


@click.command("push", short_help="Send patches from a store to the service.")
@click.argument("named", metavar="[PATCH]...", nargs=-1)
@with_client
@_store_option
@click.option(
    "--all", "everything", is_flag=True, help="The latest version of every patch of the store."
)
@json_option
def push(
    rws: "Client", named: tuple[str, ...], store_path: Path | None, everything: bool, as_json: bool
) -> None:
    """Send patches from this machine's store to the service's.

    Each becomes the latest version of its name there. The parts of a composed patch go first; a
    part whose name means something else there is stored as NAME.DIGEST, so that no name moves. What
    is there already is skipped: after an interruption run the same command again.

    \b
    Example:
      rws remote push --url http://edge-box:8000 fog my_patch
    """
    if everything == bool(named):
        raise click.UsageError("name patches, or give --all")
    store = open_store(store_path)
    parcels = list(_parcels(store, _whole(store) if everything else _named(store, named)))
    there = sorted(rws.patches.list(all_versions=True), key=lambda patch: patch.version or 0)
    latest = {patch.name: patch.digest for patch in there}
    digests = {patch.digest for patch in there}
    done = []
    with ConsoleReporter().task("sending", total=len(parcels)) as task:
        for parcel in parcels:
            done.append(_send(rws, store.read(parcel.digest), parcel, latest, digests))
            task.advance(note=parcel.name)
    _report(done, "sent", rws.url, as_json)


@click.command("pull", short_help="Fetch a patch from the service.")
@patch_argument
@with_client
@_store_option
@click.option("--out", type=PATH, help="Write the patch's file here, in no store.")
@json_option
def pull(
    rws: "Client", patch: str, store_path: Path | None, out: Path | None, as_json: bool
) -> None:
    """Fetch a patch, and the parts of a composed one, into this machine's store.

    It becomes the latest version of its name. A part whose name means something else is stored as
    NAME.DIGEST, so that no name moves.
    """
    if out is not None and store_path is not None:
        raise click.UsageError("give --store or --out, not both")
    found = rws.patches.get(patch)
    if out is not None:
        rws.patches.download(found.digest, out)
        done = [Moved(str(out), found.digest, None, True, found.file_bytes)]
        _report(done, "wrote", str(out), as_json)
        return
    from rwsstore.patches import Patch

    store = open_store(store_path)
    fetched = Patch.from_bytes(rws.patches.content(found.digest))
    done = []
    for digest, _ in fetched.parts:
        if not store.has(digest):
            part = Patch.from_bytes(rws.patches.content(digest))
            names = {entry.name for entry in store.list()}
            done.append(_publish(store, part, _free_name(part.name, digest, names)))
    done.append(_publish(store, fetched, found.name))
    _report(done, "fetched", str(store.root), as_json)


@dataclass(frozen=True)
class _Parcel:
    """A patch to be sent under a name, or only because a composed patch needs it as a part."""

    name: str
    digest: str
    is_part: bool = False


def _whole(store: "Store") -> list[_Parcel]:
    """The latest versions in the store; what lies beneath it came with rwsstore."""
    entries = [entry for entry in store.list() if store.read_only or entry.layer == "user"]
    if not entries:
        raise ConfigError(f"no patch in {store.root}; make some with rws extract")
    return [_Parcel(entry.name, entry.digest) for entry in entries]


def _named(store: "Store", references: tuple[str, ...]) -> list[_Parcel]:
    names = {entry.name for entry in store.list()}
    parcels = []
    for reference in references:
        digest = store.resolve(reference)
        name = reference.partition("@")[0]
        # By digest, it goes under its own name.
        parcels.append(_Parcel(name if name in names else store.get(digest).name, digest))
    return parcels


def _parcels(store: "Store", wanted: list[_Parcel]) -> Iterator[_Parcel]:
    """What is wanted, each composed patch after its parts."""
    parts = {
        parcel.digest: [part for part, _ in store.get(parcel.digest).parts] for parcel in wanted
    }
    yield from (parcel for parcel in wanted if not parts[parcel.digest])
    seen = {digest for digest, own in parts.items() if not own}
    for parcel in wanted:
        for digest in parts[parcel.digest]:
            if digest not in seen:
                seen.add(digest)
                yield _Parcel(store.get(digest).name, digest, is_part=True)
        if parts[parcel.digest]:
            yield parcel


def _send(
    rws: "Client", data: bytes, parcel: _Parcel, latest: dict[str, str], digests: set[str]
) -> Moved:
    """Send a patch, unless it is there; what the service has is kept up to date."""
    from rwsstore_client import DuplicatePatchError

    name, there = parcel.name, latest.get(parcel.name) == parcel.digest
    if parcel.is_part:
        name, there = _free_name(name, parcel.digest, latest), parcel.digest in digests
    if there:
        return Moved(parcel.name, parcel.digest, None, False, len(data))
    try:
        sent = rws.patches.upload(data, name=name)
    except DuplicatePatchError as error:
        return Moved(name, parcel.digest, error.version, False, len(data))
    latest[sent.name] = sent.digest
    digests.add(sent.digest)
    return Moved(sent.name, sent.digest, sent.version, True, len(data))


def _free_name(name: str, digest: str, taken: Container[str]) -> str:
    """The name, or one of its own for this patch where it means another."""
    return name if name not in taken else f"{name[:55].rstrip('_.-')}.{digest[:8]}"


def _publish(store: "Store", patch: "Patch", name: str) -> Moved:
    made = store.publish(patch, name=name)
    return Moved(made.name, made.digest, made.version, made.created, patch.file_bytes)


def _report(done: list[Moved], verb: str, place: str, as_json: bool) -> None:
    lines = []
    for one in done:
        version = "" if one.version is None else f"@{one.version}"
        state = f"{verb} ({one.file_bytes:,} bytes)" if one.moved else "was there already"
        lines.append(plain(f"{one.name}{version} {one.digest[:12]} {state}"))
    write_result(as_json, {"to": place, "patches": [asdict(one) for one in done]}, *lines)
