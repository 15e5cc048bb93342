"""Renders the examples of the app into `space/examples`: people of the rendered benchmark, nobody real.

python -m space.make_examples
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from motion_core import InputError, media

from .reading import smaller
from .showcase import EXAMPLES, HERE, INDEX, THUMBNAILS

_SAMPLE_RATE = 16_000  # Hz
_BEAT = 0.5  # seconds
_RATE = 25  # frames a second
_THUMBNAIL = 112  # pixels of a side


@dataclass(frozen=True)
class Pose:
    """One rendered picture: a moment of a clip, from 0 (its first frame) to 1 (its last), and what it shows."""

    file: str
    title: str
    identity: int
    clip: int
    moment: float


@dataclass(frozen=True)
class Movement:
    """One rendered clip, and what it shows."""

    file: str
    title: str
    identity: int
    clip: int
    sound: bool = False


PICTURES = (
    Pose("brown-dress.png", "A person in a brown dress, arms half raised", 2, 0, 0.0),
    Pose("black-top.png", "A person with grey hair in a black top", 5, 1, 1.0),
    Pose("checked-shirt.png", "A person in a checked shirt, arms out", 6, 0, 0.25),
    Pose("green-sweater.png", "A person with red hair in a green sweater", 7, 2, 0.5),
    Pose("dotted-shirt.png", "A person in a dotted shirt and red trousers", 3, 0, 0.5),
    Pose("purple-top.png", "A person with blond hair in a purple top", 4, 1, 0.25),
)
MOVEMENTS = (
    Movement("dancing.mp4", "Dancing, with a beat", 3, 0, sound=True),
    Movement("reaching.mp4", "Reaching out with both arms", 0, 1),
    Movement("turning.mp4", "Turning round", 0, 2),
    Movement("large-poses.mp4", "From bent down to arms up", 3, 1),
    Movement("walking.mp4", "Walking", 4, 1),
)
SAME = (
    (Pose("bent.png", "Bent down", 3, 1, 0.12), Pose("arms-up.png", "Arms up", 3, 1, 1.0)),
    (Pose("arm-left.png", "Arms to the left", 7, 1, 0.0), Pose("arm-down.png", "Arms down", 7, 1, 0.92)),
)
DIFFERENT = ((PICTURES[2], PICTURES[3]), (PICTURES[0], PICTURES[4]))


def render_examples(folder: Path, size: int, frames: int) -> None:
    """Render all examples and their index into a folder; `size` is the side of the pictures, `frames` those of a clip."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        rendered = Path(temporary)
        render(rendered, size, frames)

        def clip_of(item: Pose | Movement) -> media.VideoSource:
            return media.open_video(rendered / "test" / f"test{item.identity:04d}#{item.clip:03d}", frame_rate=_RATE)

        (folder / THUMBNAILS).mkdir(exist_ok=True)
        for pose in {*PICTURES, *(pose for pair in (*SAME, *DIFFERENT) for pose in pair)}:
            picture = next(clip_of(pose).frames(round(pose.moment * (frames - 1))))
            media.save_image(folder / pose.file, picture)
            media.save_image(folder / THUMBNAILS / pose.file, smaller(picture, _THUMBNAIL))
        beat = rendered / "beat.wav"
        write_beat(beat, frames / _RATE)
        for movement in MOVEMENTS:
            sound = beat if movement.sound else None
            with media.VideoWriter(folder / movement.file, _RATE, audio_from=sound, quality=24) as writer:
                for frame in clip_of(movement):
                    writer.write(frame)
            phases = [next(clip_of(movement).frames(round(part * (frames - 1)))) for part in (0.1, 0.5, 0.9)]
            middle = slice(size // 4, size - size // 4)  # people stand in the middle
            poster = np.concatenate([phase[:, middle] for phase in phases], axis=1)
            media.save_image(
                (folder / THUMBNAILS / movement.file).with_suffix(".png"), smaller(poster, 3 * _THUMBNAIL // 2)
            )
    index = {
        "pictures": [_entry(pose) for pose in PICTURES],
        "movements": [_entry(movement) for movement in MOVEMENTS],
        "same": [[_entry(pose) for pose in pair] for pair in SAME],
        "different": [[_entry(pose) for pose in pair] for pair in DIFFERENT],
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def render(root: Path, size: int, frames: int) -> None:
    """Let the benchmark's own command render its people; the app does not import it."""
    command = [
        sys.executable,
        "-m",
        "eval.benchmark.render",
        "--out",
        str(root),
        "--split",
        "test",
        "--seed",
        "7",
        "--png",
    ]
    sizes = ["--identities", "8", "--clips", "3", "--pairs", "1", "--rate", str(_RATE), "--frames", str(frames)]
    if subprocess.run([*command, *sizes, "--size", str(size)], cwd=HERE.parent).returncode:
        raise InputError("the examples could not be rendered, see above")


def write_beat(path: Path, seconds: float) -> None:
    """Write a quiet beat, for one clip to have a sound."""
    time = np.arange(round(seconds * _SAMPLE_RATE)) / _SAMPLE_RATE
    within = time % _BEAT
    tone = 0.3 * np.sin(2 * np.pi * 180 * within) * np.exp(-within / 0.06)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SAMPLE_RATE)
        file.writeframes((tone * 32767).astype("<i2").tobytes())


def _entry(item: Pose | Movement) -> dict[str, object]:
    return {name: value for name, value in asdict(item).items() if name in ("file", "title")}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m space.make_examples", description="Renders the app's examples.")
    parser.add_argument("--out", type=Path, default=EXAMPLES, help="folder (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=50, help="of a clip (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        render_examples(options.out, options.size, options.frames)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(PICTURES)} pictures, {len(MOVEMENTS)} clips")
    return 0


if __name__ == "__main__":
    sys.exit(main())
