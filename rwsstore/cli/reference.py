"""The command reference in docs/use/cli.md, made of the commands' own help.

`make docs` writes it anew; a test compares the page with the code.
"""

from collections.abc import Iterator

import click

from rwsstore.cli.main import cli

_WIDTH = 100


def reference() -> str:
    """Write the page: a section for each command, with what its --help prints."""
    intro = (
        "# Commands\n\n"
        "Made by `make docs` from the commands' own help. Results go to standard output, progress\n"
        "and errors to standard error. Exit codes: 0 done, 1 failure, 2 wrong usage, 3 not found,\n"
        "4 input refused, 130 interrupted.\n"
    )
    return "\n".join([intro, *_sections(cli, "rws", None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        help_option_names=cli.context_settings["help_option_names"],
    )
    depth = "##" if parent is None or parent.parent is None else "###"
    yield f"{depth} `{context.command_path}`\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _sections(found, child, context)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
