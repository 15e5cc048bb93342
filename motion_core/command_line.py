"""The shape of every command of the project: a parser whose errors are one line, and a main that ends in an exit status.

    def main(arguments: Sequence[str] | None = None) -> int:
        parser = CommandParser("python -m eval.reconstruct", __doc__)
        parser.add_argument("--out", type=Path, required=True, help="folder for the results")
        return parser.run(reconstruct, arguments)

    def reconstruct(options: argparse.Namespace) -> None:
        \"\"\"What the command does; raises InputError where something that was given cannot be used.\"\"\"

Defaults are shown in the help on their own: no text says "(default: ...)".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from .errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


class CommandParser(argparse.ArgumentParser):
    """The arguments of one command; as a `parser_class` of subparsers, of one of several.

    Args:
        prog: how the command is started, such as "python -m eval.reconstruct"; its last word stands before every error.
        description: its first line is the summary in the help, so that a module's ``__doc__`` will do.
        epilog: the last lines of the help.
    """

    def __init__(self, prog: str, description: str | None, *, epilog: str | None = None) -> None:
        summary = next(iter((description or "").splitlines()), None)
        super().__init__(prog, description=summary, epilog=epilog, formatter_class=_HelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Raise InputError in place of printing the usage and leaving the program.

        Raises:
            InputError: always.
        """
        raise InputError(f"{message} (see {self.prog} --help)")

    def run(self, command: Callable[[argparse.Namespace], int | None], arguments: Sequence[str] | None = None) -> int:
        """Parse the arguments and call the command with them.

        Returns:
            The exit status: what the command returns, or 0; 2 with one line on stderr for input that cannot be used, 130 with one
            line where it is interrupted.
        """
        name = self.prog.split()[-1]
        try:
            return command(self.parse_args(arguments)) or 0
        except InputError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return BAD_INPUT
        except KeyboardInterrupt as interrupt:
            print(f"{name}: {interrupt if interrupt.args else 'interrupted'}", file=sys.stderr)
            return INTERRUPTED
