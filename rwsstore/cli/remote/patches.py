"""`rws remote patches`, `show`, `compose`, `delete`, and `push` and `pull`: the service's store."""

from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore.cli import options as opt, output
from rwsstore.cli.remote import connection
from rwsstore.errors import ConfigError
from rwsstore.progress import ConsoleReporter
from rwsstore.tables import Column, plain

if TYPE_CHECKING:
    import rwsstore_client as sdk
    from rwsstore.patches import Patch
    from rwsstore.store import Store


@click.command("patches", short_help="List the service's patches.")
@connection.with_client
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
@opt.json_option
def patches(rws: "sdk.Client", as_json: bool, **filters: Any) -> None:
    """List the patches that the service has."""
    found = rws.patches.list(**filters)
    nothing = f"no such patch at {rws.url}; send some with rws remote push"
    document = {"url": rws.url, "patches": [patch.model_dump(mode="json") for patch in found]}
    alpha, fits = Column("alpha", "alpha", "g"), Column("fits", "fits", left=True)
    output.write_result(
        as_json, document, output.patches_table(found, alpha, fits) if found else nothing
    )


@click.command("show", short_help="Show one patch.")
@connection.patch_argument
@connection.with_client
@opt.json_option
def show(rws: "sdk.Client", patch: str, as_json: bool) -> None:
    """Show a patch's description and its robustness card."""
    found = rws.patches.get(patch)
    tables = [output.facts_table(f"patch {output.reference_of(found)}", patch_rows(found))]
    if found.card is not None:
        tables.append(output.card_table(found.card.images, found.card.points))
    output.write_result(as_json, found.model_dump(mode="json"), *tables)


def patch_rows(patch: "sdk.Patch") -> Iterator[tuple[str, object]]:
    """All that is known of a patch but its card."""
    yield "kind", patch.kind
    yield "digest", patch.digest
    yield "fits the model", patch.fits
    yield "for the clean weights", patch.clean_weights
    yield "architecture", patch.architecture
    yield "layers", ", ".join(patch.layers) or "-"
    yield "touches", f"{output.touched_of(patch)} bytes of the model"
    yield "bits", patch.bits or "-"
    yield "bytes", f"{patch.payload_bytes:,} payload, {patch.file_bytes:,} file"
    yield "alpha", f"{patch.alpha:g}, from {patch.alpha_minimum:g} to {patch.alpha_maximum:g}"
    yield "layer", patch.layer
    yield from output.made_against(patch)
    for part in patch.parts:
        yield "part", f"{part.name} {part.digest[:12]} at {part.alpha:g}"


@click.command("compose", short_help="Store several patches at fixed strengths as one.")
@click.argument("name")
@click.argument("patchset", metavar="PATCH=ALPHA,PATCH=ALPHA,...")
@connection.with_client
@opt.json_option
def compose(rws: "sdk.Client", name: str, patchset: str, as_json: bool) -> None:
    """Store a patch NAME on the service that stands for several others.

    \b
    Example:
      rws remote compose foggy_night fog=0.6,gaussian_noise=0.4
    """
    made = rws.patches.compose(name, connection.read_patchset(patchset))
    lines = [f"{part.name} {part.digest[:12]} at alpha {part.alpha:g}" for part in made.parts]
    stored = f"stored {output.reference_of(made)} {made.digest[:12]}"
    output.write_result(as_json, made.model_dump(mode="json"), *map(plain, [*lines, stored]))


@click.command("delete", short_help="Delete a patch from the service.")
@connection.patch_argument
@connection.with_client
def delete(rws: "sdk.Client", patch: str) -> None:
    """Delete the name PATCH with all its versions from the service's store.

    The service refuses while the active patch set or the history needs one of them.
    """
    rws.patches.delete(patch)
    output.write_lines([f"deleted {patch}"])


_store_option = click.option(
    "--store",
    "store_path",
    type=opt.PATH,
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
@connection.with_client
@_store_option
@click.option(
    "--all", "everything", is_flag=True, help="The latest version of every patch of the store."
)
@opt.json_option
def push(
    rws: "sdk.Client",
    named: tuple[str, ...],
    store_path: Path | None,
    everything: bool,
    as_json: bool,
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
    store = opt.open_store(store_path)
    if everything:  # what lies beneath the store came with rwsstore
        entries = [entry for entry in store.list() if store.read_only or entry.layer == "user"]
        if not entries:
            raise ConfigError(f"no patch in {store.root}; make some with rws extract")
        wanted = [_Parcel(entry.name, entry.digest) for entry in entries]
    else:
        wanted = [_named(store, reference) for reference in named]
    parcels = list(_parcels(store, wanted))
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
@connection.patch_argument
@connection.with_client
@_store_option
@click.option("--out", type=opt.PATH, help="Write the patch's file here, in no store.")
@opt.json_option
def pull(
    rws: "sdk.Client", patch: str, store_path: Path | None, out: Path | None, as_json: bool
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

    store = opt.open_store(store_path)
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


def _named(store: "Store", reference: str) -> _Parcel:
    """A patch under the name by which it was asked for; by digest, it goes under its own."""
    digest, name = store.resolve(reference), reference.partition("@")[0]
    known = any(entry.name == name for entry in store.list())
    return _Parcel(name if known else store.get(digest).name, digest)


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
    rws: "sdk.Client", data: bytes, parcel: _Parcel, latest: dict[str, str], digests: set[str]
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
    output.write_result(as_json, {"to": place, "patches": [asdict(one) for one in done]}, *lines)


COMMANDS = (patches, show, compose, delete, push, pull)
"""Of `rws remote`, on the service's store."""
