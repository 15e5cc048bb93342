"""Install a detector that needs an environment of its own: ``python -m eval.install_worker mediapipe``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from motion_core.command_line import CommandParser

from .workers import WORKERS, install


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 if it cannot be installed."""
    parser = CommandParser("python -m eval.install_worker", __doc__)
    parser.add_argument("worker", choices=WORKERS)
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    print(f"{options.worker}: installed in {install(options.worker)}")


if __name__ == "__main__":
    sys.exit(main())
