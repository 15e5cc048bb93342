"""Pictures drawn as SVG: sharp at any size, in the page's own colours, and with a text for those who do not see them."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from .words import LARGE_DISPLACEMENT, Moment, chosen_times

# One colour per group of keypoints; they differ in lightness too.
COLORS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#3f8fd2", "#d55e00", "#cc79a7", "#8c6bb1", "#66c2a4", "#fb8072",
)  # fmt: skip
_WIDTH, _HEIGHT, _LEFT, _RIGHT = 420, 80, 34, 8
_PREVIEW = 320  # pixels of the longer side


def timeline(moments: Sequence[Moment], rate: float) -> str:
    """The chosen t and the displacement of each frame, one above the other, over the same seconds."""
    if not moments:
        return ""
    seconds = len(moments) / rate
    most = max(2 * LARGE_DISPLACEMENT, *(moment.displacement for moment in moments))
    times = ", ".join(f"{t:.2f} in {count} frames" for t, count in chosen_times(moments)[:4])
    words = (
        f"Timeline of {seconds:.1f} s. Chosen t: {times}. Largest displacement: "
        f"{max(moment.displacement for moment in moments):.2f} of a picture's half width."
    )
    chosen = _chart([[moment.t for moment in moments]], 1.0, "t", ("line t",), steps=True)
    moved = _chart(
        [[moment.displacement for moment in moments], [moment.remaining for moment in moments]],
        most,
        "displacement",
        ("line moved", "line left"),
        mark=LARGE_DISPLACEMENT,
    )
    ticks = "".join(
        f'<text x="{_x(position)}" y="248" text-anchor="{anchor}">{seconds * position:.1f} s</text>'
        for position, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    return (
        f'<figure class="mc-figure"><svg class="mc-timeline" viewBox="0 0 {_WIDTH} 256" role="img" '
        f'aria-label="{escape(words)}"><text class="head" x="0" y="14">Chosen t (0 is the picture itself)</text>'
        f'<g transform="translate(0 24)">{chosen}</g>'
        f'<text class="head" x="0" y="136">Displacement, and what the hop leaves of it (dashed)</text>'
        f'<g transform="translate(0 146)">{moved}</g>{ticks}</svg></figure>'
    )


def _x(position: float) -> str:
    return f"{_LEFT + position * (_WIDTH - _LEFT - _RIGHT):.1f}"


def _chart(
    rows: Sequence[Sequence[float]],
    top: float,
    name: str,
    classes: Sequence[str],
    *,
    steps: bool = False,
    mark: float | None = None,
) -> str:
    def y(value: float) -> str:
        return f"{(1 - min(max(value, 0.0), top) / top) * (_HEIGHT - 4) + 2:.1f}"

    parts = [f'<rect class="ground" x="{_LEFT}" y="0" width="{_WIDTH - _LEFT - _RIGHT}" height="{_HEIGHT}"/>']
    for value in (0.0, top):
        parts.append(f'<text x="{_LEFT - 6}" y="{float(y(value)) + 4:.1f}" text-anchor="end">{value:.2g}</text>')
    if mark is not None:
        parts.append(f'<path class="mark" d="M{_x(0)} {y(mark)}H{_x(1)}"><title>large from here on</title></path>')
    for row, style in zip(rows, classes, strict=True):
        count = len(row)
        points = [f"{_x(0)} {y(row[0])}"]
        for index, value in enumerate(row):
            left, right = index / count, (index + 1) / count
            points += (
                [f"{_x(left)} {y(value)}", f"{_x(right)} {y(value)}"]
                if steps
                else [f"{_x((left + right) / 2)} {y(value)}"]
            )
        parts.append(f'<polyline class="{style}" points="{" ".join(points)}"><title>{escape(name)}</title></polyline>')
    return "".join(parts)


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
        f"{paths.shape[1]} groups of {paths.shape[2]} keypoints, a colour each, and the way of each from the first pose (ring) "
        "to the second; the dots are where they are now"
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
    """Every n-th pixel of a frame ``(H, W, 3)``, for a quick look."""
    step = max(1, round(max(frame.shape[:2]) / _PREVIEW))
    return frame[::step, ::step]


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
        pictures = '<span aria-hidden="true">→</span>'.join(
            f'<img src="{escape(address)}" alt="" loading="lazy">' for address in addresses
        )
        buttons.append(
            f'<button type="button" data-index="{index}" title="{escape(words)}" aria-label="{escape(words)}">{pictures}</button>'
        )
    return (
        f'<div class="mc-picker" role="group" aria-label="{escape(title)}"><p>{escape(title)}</p>'
        f'<div class="row">{"".join(buttons)}</div></div>'
    )


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
        f'<input type="range" min="0" max="100" value="50" oninput="{slide}" '
        f'aria-label="How much of {first} is shown, in per cent">'
        f'<button type="button" onclick="{escape(pause)}">Pause</button></div>'
    )
