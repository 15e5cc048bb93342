"""Renders the examples of the app into `space/examples`: people of the rendered benchmark, nobody real.

python -m space.make_examples --body body.npz --motion motion.npz
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
_RATE, _FRAMES = 25, 50  # frames a second, frames of a clip
_SEED = 7
_THUMBNAIL = 112  # pixels of a side


@dataclass(frozen=True)
class Shot:
    """A clip of the benchmark's test people, or one frame of it, and what it shows.

    Attributes:
        frame: the picture; None is all of the clip.
        captured: the movement is from the motion file, if one is given.
        sound: a beat goes along.
    """

    file: str
    title: str
    identity: int
    clip: int
    frame: int | None = None
    captured: bool = False
    sound: bool = False

    @property
    def item(self) -> str:
        """The name that `eval.rendered_people.stills` has for it."""
        return f"{self.identity}#{self.clip}" + ("" if self.frame is None else f"@{self.frame}")


PICTURES = (
    Shot("green-sweater.png", "A person with red hair in a green checked cardigan", 19, 8, 42),
    Shot("black-top.png", "A person in a black top and blue trousers", 5, 8, 9),
    Shot("pink-jacket.png", "A person in a pink jacket, from the hips up", 10, 11, 28),
    Shot("blue-coat.png", "A person in a wide blue coat", 2, 5, 22),
    Shot("checked-coat.png", "A person in a checked coat, hands raised", 12, 6, 30, captured=True),
    Shot("red-jacket.png", "A person with long hair in a red jacket", 23, 1, 20, captured=True),
)
MOVEMENTS = (
    Shot("reaching.mp4", "Reaching out with both arms", 0, 6),
    Shot("dancing.mp4", "Dancing, with a beat", 10, 3, captured=True, sound=True),
    Shot("waving.mp4", "Pointing and waving", 14, 2),
    Shot("large-poses.mp4", "A leg and both arms spread", 15, 9),
    Shot("walking.mp4", "Walking", 8, 2),
)
SAME = (
    (Shot("arms-up.png", "Arms up", 0, 9, 46), Shot("bent.png", "Bent to the side", 0, 9, 14)),
    (PICTURES[2], Shot("arm-left.png", "An arm to the left", 10, 11, 19)),
)
DIFFERENT = ((PICTURES[1], SAME[0][0]), (PICTURES[2], PICTURES[4]))


@dataclass(frozen=True)
class Sources:
    """The files that people and movements are made from, see docs/benchmark.md; without them both are simple."""

    body: Path | None = None
    motion: Path | None = None


def render_examples(folder: Path, size: int, clip_size: int, sources: Sources) -> None:
    """Render all examples and their index into a folder; the sizes are the sides of pictures and of clips."""
    pictures = {*PICTURES, *(shot for pair in (*SAME, *DIFFERENT) for shot in pair)}
    with tempfile.TemporaryDirectory() as temporary:
        rendered = Path(temporary)
        render(rendered, sorted(pictures, key=lambda shot: shot.file), size, sources)
        render(rendered, MOVEMENTS, clip_size, sources)
        (folder / THUMBNAILS).mkdir(parents=True, exist_ok=True)
        for shot in pictures:
            picture = media.load_image(rendered / f"{shot.item}.png")
            media.save_image(folder / shot.file, picture)
            media.save_image(folder / THUMBNAILS / shot.file, smaller(picture, _THUMBNAIL))
        beat = rendered / "beat.wav"
        write_beat(beat, _FRAMES / _RATE)
        for shot in MOVEMENTS:
            frames = list(media.open_video(rendered / shot.item, frame_rate=_RATE))
            sound = beat if shot.sound else None
            with media.VideoWriter(folder / shot.file, _RATE, audio_from=sound, quality=26) as writer:
                for frame in frames:
                    writer.write(frame)
            poster = (folder / THUMBNAILS / shot.file).with_suffix(".png")
            media.save_image(poster, smaller(frames[len(frames) // 10], _THUMBNAIL))
    index = {
        "pictures": [_entry(shot) for shot in PICTURES],
        "movements": [_entry(shot) for shot in MOVEMENTS],
        "same": [[_entry(shot) for shot in pair] for pair in SAME],
        "different": [[_entry(shot) for shot in pair] for pair in DIFFERENT],
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def render(folder: Path, shots: Sequence[Shot], size: int, sources: Sources) -> None:
    """Let the benchmark's own command render shots under the names of their items; the app does not import it."""
    items_of: dict[Path | None, list[str]] = {}  # by the file with the motion; None: a movement of the benchmark's own
    for shot in shots:
        items_of.setdefault(sources.motion if shot.captured else None, []).append(shot.item)
    for motion, items in items_of.items():
        plan = {"split": "test", "seed": _SEED, "frames": _FRAMES, "rate": _RATE, "size": size}
        plan |= {name: path for name, path in (("body", sources.body), ("motion", motion)) if path is not None}
        options = [text for name, value in plan.items() for text in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "eval.rendered_people.stills", "--out", str(folder), "--near", *options]
        if subprocess.run([*command, *items], cwd=HERE.parent).returncode:
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


def _entry(shot: Shot) -> dict[str, object]:
    return {name: value for name, value in asdict(shot).items() if name in ("file", "title")}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m space.make_examples", description="Renders the app's examples.")
    parser.add_argument("--out", type=Path, default=EXAMPLES, help="folder (default: %(default)s)")
    parser.add_argument("--body", type=Path, help="npz file with a body to dress instead of simple bodies")
    parser.add_argument("--motion", type=Path, help="npz file with motion capture instead of some random movements")
    parser.add_argument("--size", type=int, default=448, help="side of the pictures (default: %(default)s)")
    parser.add_argument("--clip-size", type=int, default=256, help="side of the clips (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        render_examples(options.out, options.size, options.clip_size, Sources(options.body, options.motion))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(PICTURES)} pictures, {len(MOVEMENTS)} clips")
    return 0


if __name__ == "__main__":
    sys.exit(main())
