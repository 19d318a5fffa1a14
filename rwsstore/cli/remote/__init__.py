"""`rws remote`: patch and predict on a running service."""

import click

from rwsstore.cli.remote.patches import compose, delete, patches, show
from rwsstore.cli.remote.patchset import (
    apply,
    clear,
    history,
    patchset,
    remove,
    rollback,
    scale,
    set_,
    verify,
)
from rwsstore.cli.remote.status import audit, predict, status
from rwsstore.cli.remote.transfer import pull, push


@click.group("remote", short_help="Patch and predict on a running service.")
def command() -> None:
    """Patch and predict on a running service (rws serve), on this machine or on a box.

    The service is named by --url or RWS_URL, its token by RWS_TOKEN or --token-file; never on the
    command line, where every process of the machine sees it. A patch is named by its name, by
    NAME@VERSION, by its digest, or by 8 or more of the digest's first digits.

    \b
    Example:
      export RWS_URL=http://edge-box:8000 RWS_TOKEN=...
      rws remote apply fog --alpha 0.8
      rws remote predict road.jpg
    """


for _command in (
    status, predict, patchset, apply, scale, remove, set_, clear, history, rollback, verify, audit,
    patches, show, compose, push, pull, delete,
):  # fmt: skip
    command.add_command(_command)
