"""Parts that several tabs of the page have: inputs, and examples to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from .drawing import PICKED, picker
from .showcase import Examples, Item

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def inputs_of_examples(examples: Examples) -> tuple[gr.Image, gr.Video]:
    """A picture and a driving video, with the examples below each."""
    with gr.Row():
        picture = picture_input(
            examples.pictures[0] if examples.pictures else None, "Picture", "The picture to animate"
        )
        driving = gr.Video(
            str(examples.movements[0].path) if examples.movements else None,
            label="Driving video", sources=["upload", "webcam"], include_audio=True, min_width=200, elem_classes="mc-input",
        )  # fmt: skip
    example_choice("Example pictures", examples.pictures, picture)
    example_choice("Example movements", examples.movements, driving)
    return picture, driving


def picture_input(item: Item | None, label: str, words: str) -> gr.Image:
    return gr.Image(
        str(item.path) if item else None, label=label, alt_text=words, type="filepath", image_mode=None,
        sources=["upload", "webcam", "clipboard"], min_width=200, elem_classes="mc-input",
    )  # fmt: skip


def example_choice(title: str, items: Sequence[Item], target: gr.Image | gr.Video) -> None:
    """Thumbnails; a click, or Enter on one, takes it."""
    if not items:
        return
    strip = gr.HTML(picker(title, [([item.thumbnail], item.title) for item in items]), js_on_load=PICKED)

    def pick(event: gr.EventData) -> str:
        return str(items[int(event.index)].path)

    strip.click(pick, None, target, **PRIVATE)


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
