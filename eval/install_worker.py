"""Install a detector that needs an environment of its own: ``python -m eval.install_worker mediapipe``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from motion_core.command_line import CommandParser

from .workers import install


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 if it cannot be installed."""
    parser = CommandParser("python -m eval.install_worker", __doc__)
    parser.add_argument("worker", choices=("mediapipe",))
    return parser.run(lambda _: print(f"mediapipe: installed in {install()}"), arguments)


if __name__ == "__main__":
    sys.exit(main())
