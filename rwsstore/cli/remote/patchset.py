"""`rws remote patchset`, `apply`, `set`, ...: what the model has on."""

from typing import TYPE_CHECKING

import click

from rwsstore.cli.options import json_option
from rwsstore.cli.output import write_result
from rwsstore.cli.remote.connection import (
    history_table,
    if_match_option,
    limit_options,
    older,
    patch_argument,
    patchset_lines,
    plain,
    read_patchset,
    strength_options,
    with_model,
)

if TYPE_CHECKING:
    from rwsstore_client import Model, PatchSet


def _check_strength(alpha: float | None, ta_loss: float | None) -> None:
    if alpha is not None and ta_loss is not None:
        raise click.UsageError("give --alpha or --ta-loss, not both")


@click.command("patchset", short_help="Show what the model has on.")
@with_model
@json_option
def patchset(model: "Model", as_json: bool) -> None:
    """Show the active patch set and its generation."""
    _show(model.patchset.get(), as_json)


@click.command("apply", short_help="Put a patch on.")
@patch_argument
@with_model
@strength_options
@if_match_option
@json_option
def apply(
    model: "Model",
    patch: str,
    alpha: float | None,
    ta_loss: float | None,
    if_match: int | None,
    as_json: bool,
) -> None:
    """Put a patch on, or give the one that is on another strength."""
    _check_strength(alpha, ta_loss)
    made = model.patchset.apply(patch, alpha=alpha, ta_loss=ta_loss, if_match=if_match)
    _show(made, as_json)


@click.command("scale", short_help="Give a patch that is on another strength.")
@patch_argument
@with_model
@strength_options
@if_match_option
@json_option
def scale(
    model: "Model",
    patch: str,
    alpha: float | None,
    ta_loss: float | None,
    if_match: int | None,
    as_json: bool,
) -> None:
    """Give a patch that is on another strength. Exit code 3 if it is not on."""
    _check_strength(alpha, ta_loss)
    made = model.patchset.scale(patch, alpha=alpha, ta_loss=ta_loss, if_match=if_match)
    _show(made, as_json)


@click.command("remove", short_help="Take a patch off.")
@patch_argument
@with_model
@if_match_option
@json_option
def remove(model: "Model", patch: str, if_match: int | None, as_json: bool) -> None:
    """Take a patch off, to the bit. Exit code 3 if it is not on."""
    _show(model.patchset.remove(patch, if_match=if_match), as_json)


@click.command("set", short_help="Put on just these patches.")
@click.argument("wanted", metavar="PATCH=ALPHA,PATCH,...")
@with_model
@if_match_option
@json_option
def set_(model: "Model", wanted: str, if_match: int | None, as_json: bool) -> None:
    """Put on just these patches; a name alone takes its recommended strength, none is no patch.

    Without --if-match it is read first which generation is active, and nothing is changed if
    somebody else changes it in between.

    \b
    Example:
      rws remote set fog=0.6,gaussian_noise=0.4
    """
    patches = read_patchset(wanted)
    seen = model.patchset.get().generation if if_match is None else if_match
    _show(model.patchset.replace(patches, if_match=seen), as_json)


@click.command("clear", short_help="Take all patches off.")
@with_model
@if_match_option
@json_option
def clear(model: "Model", if_match: int | None, as_json: bool) -> None:
    """Take all patches off."""
    _show(model.patchset.clear(if_match=if_match), as_json)


@click.command("history", short_help="Show who changed what, and when.")
@with_model
@limit_options(click.IntRange(min=0), "Only older ones than N.")
@json_option
def history(model: "Model", limit: int, before: int | None, as_json: bool) -> None:
    """Show the generations of the patch set, the newest first."""
    found = model.patchset.history(limit=limit, before=before)
    document, more = found.model_dump(mode="json"), older("history", found.next_before)
    write_result(as_json, document, history_table(found), *more)


@click.command("rollback", short_help="Go back to a generation.")
@click.argument("generation", type=click.IntRange(min=0))
@with_model
@if_match_option
@json_option
def rollback(model: "Model", generation: int, if_match: int | None, as_json: bool) -> None:
    """Put on again what was on in a generation; that becomes a new one."""
    _show(model.patchset.rollback(generation, if_match=if_match), as_json)


@click.command("verify", short_help="Compare the weights in memory with fresh ones.")
@with_model
@json_option
def verify(model: "Model", as_json: bool) -> int:
    """Have the service compare the weights in its memory with freshly patched ones.

    Exit code 1 if they differ.
    """
    found = model.patchset.verify()
    verdict = "every bit is right" if found.ok else "NOT what they should be"
    head = f"{found.model} generation {found.generation}: {found.tensors} tensors, {verdict}"
    write_result(as_json, found.model_dump(mode="json"), *map(plain, [head, *found.problems]))
    return 0 if found.ok else 1


def _show(patchset: "PatchSet", as_json: bool) -> None:
    write_result(as_json, patchset.model_dump(mode="json"), *patchset_lines(patchset))
