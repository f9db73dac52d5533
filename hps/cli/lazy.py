"""A group whose further commands are loaded when they are asked for: `hps run` needs none of them.

Each is a module of this package with a command of the module's own name.
"""

from __future__ import annotations

from importlib import import_module

import click

NAMES = ("check", "results", "compare", "report", "clean")


class LazyGroup(click.Group):
    """The commands added to it, and those of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Those that were added first, then the others."""
        return [*super().list_commands(ctx), *NAMES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded if need be; None where there is none of this name."""
        if cmd_name not in NAMES:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(f"hps.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the rule of this package
        return command
