"""Renders chosen frames and clips, without annotations.

python -m eval.rendered_people.stills --out FOLDER --split test --seed 0 "3#1@25" "4#0"

"3#1@25" is frame 25 of clip 1 of person 3, as `FOLDER/3#1@25.png`; "4#0" is the whole clip 0 of person 4, as a folder of PNG
files `FOLDER/4#0`. They are the pictures that `eval.rendered_people.render` makes with the same options.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.media import VideoWriter, save_image

from .clip import Plan, Studio
from .render import add_plan_options, plan_of

_ITEM = re.compile(r"(\d{1,9})#(\d{1,9})(?:@(\d{1,9}))?")


def render_items(plan: Plan, folder: Path, items: Sequence[str]) -> None:
    """Render items into a folder, each under its own name.

    Raises:
        InputError: an item is not one, or it cannot be written.
    """
    studio, parsed = Studio(plan), {name: _ITEM.fullmatch(name) for name in items}
    for name, match in parsed.items():
        if match is None:
            raise InputError(f"item: must be IDENTITY#CLIP or IDENTITY#CLIP@FRAME, such as 3#1@25, got {name!r}")
        if int(match[3] or 0) >= plan.frames:
            raise InputError(f"item: must have a frame in 0..{plan.frames - 1}, got {name!r}")
    for name, (identity, clip, frame) in ((name, match.groups()) for name, match in parsed.items() if match):
        renderer = studio.shot(int(identity), int(clip)).renderer()
        folder.mkdir(parents=True, exist_ok=True)
        if frame is not None:
            save_image(folder / f"{name}.png", renderer.frame(int(frame))[0])
            continue
        with VideoWriter(f"{folder / name}/", plan.rate) as writer:
            for number in range(plan.frames):
                writer.write(renderer.frame(number)[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = CommandParser("python -m eval.rendered_people.stills", __doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="for the PNG files")
    add_plan_options(parser)
    parser.add_argument("items", nargs="+", metavar="ITEM", help="IDENTITY#CLIP@FRAME, or IDENTITY#CLIP for all frames")
    return parser.run(lambda options: render_items(plan_of(options), options.out, options.items), arguments)


if __name__ == "__main__":
    sys.exit(main())
