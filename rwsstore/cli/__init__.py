"""The `rws` command: one file a command group."""

__all__: list[str] = []
