"""Parts that several tabs of the page have: inputs, and examples to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from .drawing import PICKED, picker
from .showcase import Examples, Gallery, Item, Piece

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
CHECK, LIVE = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("check.js", "live.js"))
LIVE_PAGE = '<img alt="The picture, in your pose" hidden><p class="told" role="status"></p>'


def inputs_of_animation(examples: Examples) -> tuple[gr.Image, gr.Video, gr.UploadButton]:
    """A picture, a driving video, and a button for videos that browsers take for pictures."""
    with gr.Row(elem_classes="mc-close"):
        picture = picture_input(
            examples.pictures[0] if examples.pictures else None, "Picture", "The picture to animate"
        )
        with gr.Column(min_width=140, elem_classes="mc-close"):
            driving = gr.Video(
                str(examples.movements[0].path) if examples.movements else None,
                label="Video", sources=["upload", "webcam"], include_audio=True, elem_classes="mc-input",
            )  # fmt: skip
            moving = gr.UploadButton("Use a GIF instead", file_types=[".gif", ".webp", ".png"], size="sm")
    return picture, driving, moving


def picture_input(item: Item | None, label: str, words: str) -> gr.Image:
    return gr.Image(
        str(item.path) if item else None, label=label, alt_text=words, type="filepath", image_mode=None,
        sources=["upload", "webcam", "clipboard"], min_width=140, elem_classes="mc-input",
    )  # fmt: skip


def example_pairs(gallery: Gallery) -> gr.HTML | None:
    """Thumbnails of pictures with movements that suit them, if there are any."""
    pieces = _animations(gallery)
    if not pieces:
        return None
    choices = [
        ((Item(piece.first, "").thumbnail, Item(piece.second, "").thumbnail), piece.shown.title) for piece in pieces
    ]
    return gr.HTML(picker("Examples", choices), js_on_load=PICKED)


def pick_pair(strip: gr.HTML, gallery: Gallery, picture: gr.Image, driving: gr.Video) -> Any:
    """A click on an example, or Enter, takes both; returns that event."""
    pieces = _animations(gallery)

    def pick(event: gr.EventData) -> tuple[str, str]:
        piece = pieces[int(event.index)]
        return str(piece.first), str(piece.second)

    return strip.click(pick, None, [picture, driving], queue=False, **PRIVATE)


def _animations(gallery: Gallery) -> list[Piece]:
    return [piece for piece in gallery.pieces if piece.kind == "animation"]


def pair_choice(title: str, pairs: Sequence[tuple[Item, Item]], first: gr.Image, second: gr.Image) -> None:
    """Pairs of thumbnails; a click takes both."""
    if not pairs:
        return
    choices = [((one.thumbnail, other.thumbnail), f"{one.title}, to: {other.title}") for one, other in pairs]
    strip = gr.HTML(picker(title, choices), js_on_load=PICKED)

    def pick(event: gr.EventData) -> tuple[str, str]:
        one, other = pairs[int(event.index)]
        return str(one.path), str(other.path)

    strip.click(pick, None, [first, second], **PRIVATE)


def first_of(pairs: Sequence[tuple[Item, Item]], side: int) -> Item | None:
    return pairs[0][side] if pairs else None
