"""`rws compose`."""

from pathlib import Path

import click

from rwsstore.cli.options import json_option, open_store, store_option
from rwsstore.cli.output import write_result


@click.command("compose", short_help="Store several patches at fixed strengths as one.")
@click.argument("name")
@click.argument("patchset", metavar="PATCH=ALPHA,PATCH=ALPHA,...")
@store_option
@json_option
def command(name: str, patchset: str, store_path: Path | None, as_json: bool) -> None:
    """Publish a patch NAME that stands for several others.

    It names its parts by digest and holds no tensors, so it goes on meaning the same patches when
    their names move on. Put on at strength A, its parts are put on at A times theirs.

    \b
    Example:
      rws compose foggy_night fog=0.6,gaussian_noise=0.4
    """
    from rwsstore.patches import compose, parse_request

    store = open_store(store_path)
    chosen = []
    for reference, alpha in parse_request(patchset).items():
        patch = store.get(reference)
        chosen.append((patch, patch.metadata.alpha.recommended if alpha is None else alpha))
    composed = compose(name, chosen)
    published = store.publish(composed, name=name)
    write_result(
        as_json,
        {
            "name": published.name,
            "version": published.version,
            "digest": published.digest,
            "parts": [{"digest": digest, "alpha": alpha} for digest, alpha in composed.parts],
        },
        *(f"{digest[:12]} at alpha {alpha:g}" for digest, alpha in composed.parts),
        f"published {published.name}@{published.version} {published.digest[:12]}",
    )
