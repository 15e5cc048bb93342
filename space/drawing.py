"""Pictures drawn as SVG: sharp at any size, in the page's own colours, and with a text for those who do not see them."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .choices import Box, Choices
from .words import Moment

if TYPE_CHECKING:
    from .service import Checked
    from .showcase import Piece

# One colour per group of keypoints; they differ in lightness too.
COLORS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#3f8fd2", "#d55e00", "#cc79a7", "#8c6bb1", "#66c2a4", "#fb8072",
)  # fmt: skip
_LEAST = 0.5  # displacement at the timeline's top, or it would make much of little
_WIDTH, _HEIGHT, _LEFT = 380, 80, 34  # of the timeline, and what is left of it
_PREVIEW = 320  # pixels of the longer side


def timeline(moments: Sequence[Moment], rate: float) -> str:
    """The displacement of each frame, from the picture and from what was animated, over the seconds."""
    if not moments:
        return ""
    seconds = len(moments) / rate
    top = max(_LEAST, *(moment.displacement for moment in moments))

    def line(values: Sequence[float], style: str) -> str:
        points = " ".join(
            f"{_LEFT + (index + 0.5) / len(values) * _WIDTH:.1f} {_HEIGHT * (1 - value / top):.1f}"
            for index, value in enumerate(values)
        )
        return f'<polyline class="line {style}" points="{points}"/>'

    moved, left = [moment.displacement for moment in moments], [moment.remaining for moment in moments]
    words = f"How far the pose is from the picture's over {seconds:.1f} s, in widths of the picture: at most {max(moved) / 2:.2f}"
    lines = line(moved, "moved")
    if left != moved:
        words += f"; dashed, from the interpolated image's: at most {max(left) / 2:.2f}"
        lines += line(left, "left")
    ticks = "".join(
        f'<text x="{_LEFT + position * _WIDTH:.0f}" y="{_HEIGHT + 18}" text-anchor="{anchor}">{seconds * position:.1f} s</text>'
        for position, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    return (
        f'<figure class="mc-figure"><svg class="mc-timeline" viewBox="0 0 {_LEFT + _WIDTH} {_HEIGHT + 24}" role="img" '
        f'aria-label="{words}"><rect class="ground" x="{_LEFT}" width="{_WIDTH}" height="{_HEIGHT}"/>'
        f'<text x="{_LEFT - 6}" y="12" text-anchor="end">{top / 2:.2g}</text>'
        f"{lines}{ticks}</svg><figcaption>{words}.</figcaption></figure>"
    )


def rgb(color: str) -> list[float]:
    """A colour "#rrggbb" as three numbers in [0, 1]."""
    return [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def found(picture: np.ndarray, limbs: np.ndarray | None, which: str, words: str, box: Box | None) -> str:
    """A picture with the limbs of the person found in it, on which a box can be drawn.

    Args:
        picture: ``(H, W, 3)`` uint8.
        limbs: their two ends, ``(K, 2, 2)``, as shares (x, y) of the picture; None: nobody is found.
        which: of the page's two pictures it is, for `BOXES`.
        box: the part that is used.
    """
    height, width = picture.shape[:2]
    scale = max(height, width) / 100
    lines = []
    for group, ends in enumerate(() if limbs is None else limbs * np.array([width, height])):
        (x1, y1), (x2, y2) = ends
        lines.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{COLORS[group % len(COLORS)]}" '
            f'stroke-width="{2.2 * scale:.1f}" stroke-linecap="round"/>'
        )
    top, left, down, across = box or (0, 0, 1, 1)
    shape = f'x="{left * width:.1f}" y="{top * height:.1f}" width="{across * width:.1f}" height="{down * height:.1f}"'
    return (
        f'<svg class="found" data-which="{which}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
        f'<image href="{data_uri(picture)}" width="{width}" height="{height}"/>{"".join(lines)}<rect class="box" {shape}/></svg>'
    )


def check(seen: Checked, plain: Callable[[str], str], choices: Choices) -> str:
    """What is found before a run: pictures with limbs and boxes, and sentences, each as `plain` makes it.

    `check.js` repeats beside the inputs why a run would not begin.
    """
    pictures = "".join(
        found(pixels, limbs, which, f"{name}: {'a person is found' if limbs is not None else 'nobody is found'}", box)
        for pixels, limbs, which, name, box in (
            (seen.picture, seen.limbs[0], "picture", "The picture", choices.picture_box),
            (seen.driving, seen.limbs[1], "driving", "The video", choices.driving_box),
        )
        if pixels is not None
    )
    why = None if seen.works else seen.sentences[-1]
    lines = "".join(
        f"<li{' data-warning' if sentence == why else ''}>{escape(plain(sentence))}</li>" for sentence in seen.sentences
    )
    chosen = choices.picture_box or choices.driving_box or choices.subject
    reset = '<button type="button" data-reset>Use all of both</button>' if chosen else ""
    return (
        f'<div class="mc-check{"" if seen.works else " fails"}" role="status"><div class="pair">{pictures}</div>'
        f"<ul>{lines}</ul><p>Drag on a picture to use only a part of it; drag the part to move it, or a corner to resize it. "
        f"Of several people in your picture, click on the one to animate. {reset}</p></div>"
    )


def keypoint_paths(picture: np.ndarray, paths: np.ndarray, at: np.ndarray) -> str:
    """A picture with its keypoints and the way that each goes.

    Args:
        picture: ``(H, W, 3)`` uint8.
        paths: from the first to the last time, ``(M, K, N, 2)`` in [-1, 1] of this picture, corner-aligned.
        at: where they are now, ``(K, N, 2)``.
    """
    height, width = picture.shape[:2]
    scale = np.array([width - 1, height - 1]) / 2
    size = max(height, width)
    shapes = []
    for group in range(paths.shape[1]):
        color = COLORS[group % len(COLORS)]
        for point in range(paths.shape[2]):
            way = (paths[:, group, point] + 1) * scale + 0.5
            here = (at[group, point] + 1) * scale + 0.5
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in way)
            shapes.append(
                f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{size / 160:.2f}" stroke-opacity=".75"/>'
                f'<circle cx="{way[0, 0]:.1f}" cy="{way[0, 1]:.1f}" r="{size / 110:.2f}" fill="none" stroke="{color}" '
                f'stroke-width="{size / 250:.2f}"/>'
                f'<circle cx="{here[0]:.1f}" cy="{here[1]:.1f}" r="{size / 80:.2f}" fill="{color}" stroke="#000" '
                f'stroke-width="{size / 400:.2f}"/>'
            )
    words = (
        f"{paths.shape[1]} groups of {paths.shape[2]} body points, one colour per group: each goes from its ring, in the first "
        "pose, to the second pose; the dots are where they are at this moment"
    )
    return (
        f'<figure class="mc-figure"><svg class="mc-keypoints" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(words)}">'
        f'<image href="{data_uri(picture)}" width="{width}" height="{height}"/>{"".join(shapes)}</svg>'
        f"<figcaption>{escape(words)}.</figcaption></figure>"
    )


def progress(text: str, done: int = 0, total: int = 0, frame: np.ndarray | None = None, tone: str = "") -> str:
    """A line of text, a bar, and the newest frame, for a run at work."""
    bar = (
        f'<progress value="{done}" max="{total}" aria-label="frames done">{done} of {total}</progress>' if total else ""
    )
    picture = "" if frame is None else f'<img alt="The newest frame, number {done}" src="{data_uri(reduced(frame))}">'
    return f'<div class="mc-progress {tone}" role="status" aria-live="polite"><p>{escape(text)}</p>{bar}{picture}</div>'


def reduced(frame: np.ndarray) -> np.ndarray:
    """Every n-th pixel of a frame ``(H, W, 3)``, or ``(H, W, 4)`` on white, for a quick look."""
    step = max(1, round(max(frame.shape[:2]) / _PREVIEW))
    small = frame[::step, ::step]
    if small.shape[-1] == 3:
        return small
    share = small[..., 3:] / 255
    return (small[..., :3] * share + 255 * (1 - share)).astype(np.uint8)


def data_uri(pixels: np.ndarray) -> str:
    """A picture ``(H, W, 3)`` uint8 as the address of itself."""
    from motion_core import media  # it takes a while, and the page does not need it to come up

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        media.save_image(path, np.ascontiguousarray(pixels))
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def video_uri(path: Path) -> str:
    """A small mp4 as the address of itself."""
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"


PICKED = (
    "element.addEventListener('click', event => { const button = event.target.closest('[data-index]');"
    "if (button) trigger('click', {index: Number(button.dataset.index)}); });"
)


def picker(title: str, choices: Sequence[tuple[Sequence[str], str]]) -> str:
    """Thumbnails to choose from, as buttons; each choice has the addresses of its pictures, and says what they show."""
    buttons = []
    for index, (addresses, words) in enumerate(choices):
        pictures = "".join(f'<img src="{escape(address)}" alt="" loading="lazy">' for address in addresses)
        buttons.append(
            f'<button type="button" data-index="{index}" title="{escape(words)}" aria-label="{escape(words)}">{pictures}</button>'
        )
    return (
        f'<div class="mc-picker" role="group" aria-label="{escape(title)}"><p>{escape(title)}</p>'
        f'<div class="row">{"".join(buttons)}</div></div>'
    )


def gallery_wall(pieces: Sequence[Piece]) -> str:
    """Videos that play by themselves, and pictures, each with a title to choose it by."""
    shown = []
    for index, piece in enumerate(pieces):
        title, address = escape(piece.shown.title), escape(piece.shown.address)
        media = (
            f'<video src="{address}" aria-label="{title}" autoplay muted loop playsinline controls></video>'
            if piece.kind == "animation"
            else f'<img src="{address}" alt="{title}" loading="lazy">'
        )
        shown.append(f'<figure>{media}<button type="button" data-index="{index}">{title}</button></figure>')
    return f'<div class="mc-wall">{"".join(shown)}</div>'


def wipe(left: Path, right: Path, names: tuple[str, str]) -> str:
    """Two videos of one size, one over the other, with a slider between them that a mouse, a finger and the keyboard move."""
    how = "muted autoplay loop playsinline"
    play = (
        "const over=this.parentElement.querySelector('video.over');"
        "if(Math.abs(over.currentTime-this.currentTime)>0.08)over.currentTime=this.currentTime"
    )
    pause = (
        "const all=this.closest('.mc-wipe').querySelectorAll('video');const stop=!all[0].paused;"
        "all.forEach(v=>stop?v.pause():v.play());this.textContent=stop?'Play':'Pause'"
    )
    slide = "this.closest('.mc-wipe').style.setProperty('--cut',this.value+'%')"
    first, second = (escape(name) for name in names)
    return (
        f'<div class="mc-wipe"><div class="frame">'
        f'<video class="under" {how} aria-label="{first}" ontimeupdate="{escape(play)}" src="{video_uri(left)}"></video>'
        f'<video class="over" {how} aria-label="{second}" src="{video_uri(right)}"></video>'
        f'<span class="cut"></span></div><div class="names"><span>{first}</span><span>{second}</span></div>'
        f'<p class="hint">Drag to compare</p><input type="range" min="0" max="100" value="50" oninput="{slide}" '
        f'aria-label="How much of {first} is shown, in per cent">'
        f'<button type="button" onclick="{escape(pause)}">Pause</button></div>'
    )
