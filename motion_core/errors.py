"""The one exception type for input that cannot be used."""

from __future__ import annotations

import re


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message is one sentence that names the thing, the rule and the value received. The command line prints it
    without a traceback and exits with status 2.
    """


def first_sentence(error: BaseException) -> str:
    """What another library's error says, without the advice and the addresses that follow it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.split(r"(?<!\.)\. ", lines[0])[0].rstrip(". ")[:300]
