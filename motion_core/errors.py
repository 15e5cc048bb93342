"""The one exception type for input that cannot be used."""

from __future__ import annotations

import re
import unicodedata

_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, bytes that are not UTF-8, line and paragraph separators


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message is one sentence that names the thing, the rule and the value received. The command line prints it
    without a traceback and exits with status 2. It is one line: a file's name may have a line break in it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


def _one_line(text: str) -> str:
    """Return the text with what would break its line, or the terminal, written as escapes."""
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNPRINTABLE else character
        for character in text
    )


def first_sentence(error: BaseException) -> str:
    """What another library's error says, without the advice and the addresses that follow it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.split(r"(?<!\.)\. ", lines[0])[0].rstrip(". ")[:300]
