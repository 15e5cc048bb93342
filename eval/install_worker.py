"""Install a detector that needs an environment of its own: ``python -m eval.install_worker mediapipe``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from motion_core.errors import InputError

from .workers import WORKERS, install


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 if it cannot be installed."""
    parser = argparse.ArgumentParser(prog="python -m eval.install_worker", description=__doc__.splitlines()[0])
    parser.add_argument("worker", choices=WORKERS)
    options = parser.parse_args(arguments)
    try:
        print(f"{options.worker}: installed in {install(options.worker)}")
    except InputError as error:
        print(f"eval.install_worker: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
