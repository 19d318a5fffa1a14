"""`rws remote patches`, `show`, `compose` and `delete`: the service's store."""

from typing import TYPE_CHECKING, Literal

import click

from rwsstore.cli.options import json_option
from rwsstore.cli.output import write_lines, write_result
from rwsstore.cli.remote.connection import (
    card_table,
    pairs_table,
    patch_argument,
    patch_rows,
    patches_table,
    plain,
    read_patchset,
    reference,
    with_client,
)

if TYPE_CHECKING:
    from rwsstore_client import Client


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
def patches(
    rws: "Client",
    kind: str | None,
    corruption: str | None,
    bits: int | None,
    fits: bool | None,
    all_versions: bool,
    sort: Literal["name", "touched", "payload"] | None,
    as_json: bool,
) -> None:
    """List the patches that the service has."""
    found = rws.patches.list(
        kind=kind,
        corruption=corruption,
        bits=bits,
        fits=fits,
        all_versions=all_versions,
        sort=sort,
    )
    nothing = f"no such patch at {rws.url}; send some with rws remote push"
    document = {"url": rws.url, "patches": [patch.model_dump(mode="json") for patch in found]}
    write_result(as_json, document, patches_table(found) if found else nothing)


@click.command("show", short_help="Show one patch.")
@patch_argument
@with_client
@json_option
def show(rws: "Client", patch: str, as_json: bool) -> None:
    """Show a patch's description and its robustness card."""
    found = rws.patches.get(patch)
    write_result(
        as_json,
        found.model_dump(mode="json"),
        pairs_table(f"patch {reference(found)}", patch_rows(found)),
        *([] if found.card is None else [card_table(found.card)]),
    )


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
    stored = f"stored {reference(made)} {made.digest[:12]}"
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
