"""The base of all commands: what a parser and a main do whatever the command is."""

from __future__ import annotations

import argparse

import pytest

from motion_core.command_line import CommandParser
from motion_core.errors import InputError


def parser() -> CommandParser:
    made = CommandParser("python -m some.command", "First line.\n\nMore.")
    made.add_argument("--size", type=int, default=7, help="of something")
    made.add_argument("--name", help="of nothing")
    return made


def bad_input(options: argparse.Namespace) -> None:
    raise InputError("file.png: cannot be read")


def interrupted(options: argparse.Namespace) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("command", "arguments", "status", "said"),
    [
        (lambda options: None, [], 0, ""),
        (lambda options: options.size, ["--size", "1"], 1, ""),
        (bad_input, [], 2, "some.command: file.png: cannot be read\n"),
        (
            print,
            ["--size", "x"],
            2,
            "some.command: argument --size: invalid int value: 'x' (see python -m some.command --help)\n",
        ),
        (interrupted, [], 130, "some.command: interrupted\n"),
    ],
)
def test_a_command_ends_in_an_exit_status_and_at_most_one_line(command, arguments, status, said, capsys):
    assert parser().run(command, arguments) == status
    assert capsys.readouterr() == ("", said)


def test_help_has_the_first_line_and_the_defaults_that_there_are():
    text = parser().format_help()
    assert "First line.\n" in text
    assert "More" not in text
    assert "of something (default: 7)" in text
    assert "of nothing\n" in text
