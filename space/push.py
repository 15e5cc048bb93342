"""Uploads what a Space needs of this repository, with huggingface_hub.

python -m space.push NAME/SPACE [--hardware zero-a10g] [--private]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from motion_core.errors import first_sentence

from .showcase import HERE

# The README's front matter tells the Space what to run; tests, training and evaluation stay at home.
FILES = ("README.md", "LICENSE", "app.py", "requirements.txt", "motion_core/**", "space/**")
LEFT_OUT = ("**/__pycache__/**", "**/*.pyc", "space/make_*.py", "space/push.py", "space/load_test.py")


def push(name: str, *, private: bool = False, hardware: str | None = None, token: str | None = None) -> str:
    """Create the Space if it is not there yet, upload the files as one commit, and return the Space's address.

    Args:
        name: of the Space, "name/space".
        private: whether a new Space is private.
        hardware: of a new Space, such as "zero-a10g"; None is the free CPU.
        token: None is the one that `hf auth login` has stored.
    """
    from huggingface_hub import HfApi, SpaceHardware

    api = HfApi(token=token)
    space = api.create_repo(
        name,
        repo_type="space",
        space_sdk="gradio",
        space_hardware=None if hardware is None else SpaceHardware(hardware),
        private=private,
        exist_ok=True,
    )
    api.upload_folder(
        repo_id=space.repo_id,
        repo_type="space",
        folder_path=HERE.parent,
        allow_patterns=list(FILES),
        ignore_patterns=list(LEFT_OUT),
        commit_message="The app, the library and the model",
    )
    return str(space)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 where the Hub refuses."""
    parser = argparse.ArgumentParser(
        prog="python -m space.push", description="Uploads the app to a Hugging Face Space."
    )
    parser.add_argument("name", metavar="NAME/SPACE")
    parser.add_argument("--private", action="store_true", help="a new Space is private")
    parser.add_argument("--hardware", help="of a new Space, such as zero-a10g (default: the free CPU)")
    options = parser.parse_args(arguments)
    try:
        address = push(options.name, private=options.private, hardware=options.hardware)
    except (OSError, ValueError) as error:  # no connection, no token, no permission, not a name
        print(f"error: {options.name}: {first_sentence(error)}", file=sys.stderr)
        return 2
    print(address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
