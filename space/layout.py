"""What is on the page, and which button does what. There is no model code here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from motion_core import AnimationSettings

from .choices import OF_SHIPPED, SHIPPED, STRONGEST, Choices, Offered
from .drawing import PICKED, gallery_wall
from .handlers import LOOKING, Handlers
from .limits import Limits
from .parts import (
    CHECK,
    LIVE,
    LIVE_PAGE,
    PRIVATE,
    example_pairs,
    first_of,
    inputs_of_animation,
    pair_choice,
    pick_pair,
    picture_input,
)
from .showcase import Examples, Gallery, Piece, read_examples, read_gallery

_SUBDUED = {"body_text_color_subdued": "*neutral_600", "body_text_color_subdued_dark": "*neutral_300"}
THEME = gr.themes.Soft(
    primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], radius_size="md"
).set(
    **_SUBDUED,
    color_accent="*primary_600",
    block_label_text_color="*primary_700",
    block_title_text_color="*primary_700",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    checkbox_label_background_fill_selected="*primary_600",
    border_color_primary="*neutral_300",
    block_border_color="*neutral_300",
    input_border_color="*neutral_400",
    checkbox_border_color="*neutral_400",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
)
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
TITLE = (
    "# Motion transfer\nAnimate the person in a picture with the motion of a video. Results are made by a computer (synthetic), "
    "and each file says so. Animate only people who have agreed."
)
MODES = [
    ("Automatic: the app chooses", "auto"),
    ("Keep the starting pose, add the video's movement", "relative"),
    ("Take the video's poses, stay where the person stands", "pose"),
    ("Copy the video's poses, size and place", "standard"),
    ("Take the video's poses, keep the body's proportions", "avd"),
]
MODES_BETWEEN = [
    ("Only the pose of the second picture", "pose"),
    ("Pose, size and place of the second picture", "standard"),
    ("The pose of the second picture, in the first one's proportions", "avd"),
]
SELECTORS = [
    ("The model chooses", "automatic"),
    ("The picture itself", "none"),
    ("An interpolated image, at a moment t", "fixed"),
]
VARIANTS = [
    ("As the model was trained", "as trained"),
    ("Only the picture", "tpsmm"),
    ("Only the interpolated image", "full"),
    ("The picture and the interpolated image together", "v2"),
]
SCENES = [
    ("The picture's own", "source"),
    ("The video's", "driving"),
    ("Nothing: a transparent WebM video", "transparent"),
    ("Another picture", "picture"),
]
FITS = [("All of it, padded", "pad"), ("The middle, cropped", "crop"), ("Stretched", "stretch")]
KINDS = [
    ("The model that comes with this app", "shipped"),
    ("A folder on the computer that runs this app", "folder"),
    ("A model on the Hugging Face Hub", "hub"),
    ("A checkpoint of TPSMM, the method this one builds on (.pth.tar)", "checkpoint"),
]


@dataclass
class _ByModel:
    """Components whose choices are those of the model in use."""

    modes: list[Any] = field(default_factory=list)
    variants: list[Any] = field(default_factory=list)
    scenes: list[Any] = field(default_factory=list)
    photos: list[Any] = field(default_factory=list)
    selectors: list[Any] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)  # of the interpolated image

    def all(self) -> list[Any]:
        return [*self.modes, *self.variants, *self.scenes, *self.photos, *self.selectors, *self.times]

    def updates(self, offered: Offered) -> list[Any]:
        """For `all`; what is chosen and not there any more goes back to the first choice."""
        return [
            *(
                _only(MODES_BETWEEN if each.value == "standard" else MODES, offered.modes, each.value)
                for each in self.modes
            ),
            *(_only(VARIANTS, offered.variants, "as trained") for _ in self.variants),
            *(_only(SCENES, offered.scenes, "source") for _ in self.scenes),
            *(gr.update(visible=offered.photos) for _ in self.photos),
            *(_only(SELECTORS, offered.selectors, offered.selectors[0]) for _ in self.selectors),
            *(gr.update(visible=not offered.chooses) for _ in self.times),
        ]


def _only(choices: list[tuple[str, str]], names: Sequence[str], value: str) -> Any:
    return gr.update(choices=[choice for choice in choices if choice[1] in names], value=value)


def build(handlers: Handlers, examples_folder: Path, gallery_folder: Path, cache: tuple[int, int]) -> gr.Blocks:
    """The page with its tabs; `cache` says every how many seconds files older than how many are deleted."""
    limits = handlers.limits
    examples, gallery = read_examples(examples_folder), read_gallery(gallery_folder, examples_folder)
    by_model = _ByModel()
    with gr.Blocks(title="Motion transfer", analytics_enabled=False, delete_cache=cache) as page:
        gr.Markdown(TITLE, elem_classes="mc-title")
        banner = gr.HTML(label="Model in use", render=False)
        model = gr.State(SHIPPED)
        with gr.Tabs() as tabs:
            with gr.Tab("Animate", id="animate"):
                animated = _animate(handlers, limits, examples, gallery, model, by_model, page)
            if limits.live:
                with gr.Tab("Live", id="live"):
                    _live(handlers, examples, model)
            with gr.Tab("Interpolate", id="interpolate"):
                interpolated = _interpolate(handlers, limits, examples, model, by_model)
            with gr.Tab("Gallery", id="gallery"):
                _gallery(gallery, tabs, animated, interpolated)
            with gr.Tab("Compare", id="compare"):
                _compare(handlers, limits, examples, gallery, model, by_model)
            with gr.Tab("Models", id="models"):
                loaded = _models(handlers, limits, model, banner)
        banner.render()

        def offered(key: str) -> list[Any]:
            return by_model.updates(handlers.offered(key))

        loaded.success(offered, model, by_model.all(), **PRIVATE)
        page.load(handlers.shipped_banner, None, banner, **PRIVATE)
        page.unload(handlers.leave)
    return page


def _animate(
    handlers: Handlers,
    limits: Limits,
    examples: Examples,
    gallery: Gallery,
    model: gr.State,
    by_model: _ByModel,
    page: gr.Blocks,
) -> tuple[gr.Image, gr.Video]:
    with gr.Row(elem_classes=["mc-columns", "mc-animate"]):
        with gr.Column():
            strip = example_pairs(gallery)
            picture, driving, moving = inputs_of_animation(examples)
            gr.HTML('<p id="animate-warning" role="alert" hidden></p>', padding=False, elem_classes="mc-warning")
            with gr.Row(elem_classes="mc-close"):
                mode = gr.Dropdown(
                    _of_shipped(MODES, OF_SHIPPED.modes), value=AnimationSettings.mode, label="Motion", min_width=260
                )
                strength = gr.Slider(
                    0, STRONGEST, AnimationSettings.strength, step=0.05, label="Strength", min_width=130
                )
            with gr.Row(elem_classes="mc-close"):
                go = gr.Button("Animate", variant="primary", elem_id="animate-go", min_width=130)
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="animate-stop", min_width=130)
            with gr.Accordion("Options", open=False):
                scene = gr.Radio(SCENES, value="source", label="What is behind the person")
                behind = gr.Image(
                    label="The picture behind the person", type="filepath", image_mode=None, sources=["upload"],
                    visible=False, height=160,
                )  # fmt: skip
                photos = gr.File(
                    label="More photos of the same person (optional), in other poses: they help most",
                    file_count="multiple", file_types=["image"], height=200, elem_classes="mc-photos",
                )  # fmt: skip
                with gr.Row():
                    start = gr.Number(0, label="Start (seconds)", minimum=0, min_width=100, info="0: the beginning")
                    end = gr.Number(0, label="End (seconds)", minimum=0, min_width=100, info="0: the video's end")
                longest = gr.Slider(
                    1,
                    limits.seconds,
                    min(Choices.longest, limits.seconds),
                    step=1,
                    label="Use at most (seconds)",
                    info="From the start on. Of this and the end, what comes first counts",
                )
                audio = gr.Checkbox(True, label="Keep the video's sound")
                smooth = gr.Checkbox(False, label="Smooth the motion, so that still parts do not tremble")
                best = gr.Checkbox(False, label="Start where the video's pose is closest to the picture's")
                with gr.Accordion("Crop and person, in numbers", open=False):
                    where = "Top, left, height and width, from 0 to 1. Empty: all of it"
                    picture_box = gr.Textbox("", label="Part of the picture", info=where)
                    driving_box = gr.Textbox("", label="Part of the video", info=where)
                    subject = gr.Textbox(
                        "", label="Which person of the picture", info="x and y, from 0 to 1. Empty: the largest"
                    )
                    crop = gr.Radio(
                        [("The whole picture", "everything"), ("The person only", "subject")],
                        value="everything",
                        label="What moves",
                    )
                    fit = gr.Radio(FITS, value=AnimationSettings.fit, label="If the picture is not square")
                    paste = gr.Checkbox(Choices.paste_back, label="Make the video as large as the picture")
                with gr.Accordion("Interpolated image", open=False):
                    gr.Markdown(
                        "A large motion can be made in two steps: the model first makes a helper picture between the two poses, "
                        "the interpolated image, and then animates that instead of the picture.",
                        elem_classes="mc-about",
                    )
                    selector = gr.Radio(
                        _of_shipped(SELECTORS, OF_SHIPPED.selectors),
                        value=OF_SHIPPED.selectors[0],
                        label="Which image is animated",
                    )
                    t = gr.Slider(
                        0, 1, Choices.t, step=0.01, label="Moment t of the interpolated image", visible=False,
                        info="0 is the picture's pose, 1 the video's",
                    )  # fmt: skip
                    variant = gr.Dropdown(VARIANTS, value="as trained", label="What each frame is made from")
        with gr.Column():
            status = gr.HTML(label="Progress", elem_id="animate-status")
            with gr.Column(visible=False) as details:
                result = gr.Video(
                    label="Result (synthetic)", interactive=False, autoplay=True, loop=True, elem_id="animate-result",
                    elem_classes="mc-result",
                )  # fmt: skip
                gif = gr.Button("Save as GIF too", size="sm", elem_id="animate-gif")
            files = gr.File(
                label="Made in this session", file_count="multiple", interactive=False, visible=False,
                elem_id="animate-files",
            )  # fmt: skip
            check = gr.HTML(label="Check of the inputs", js_on_load=CHECK, elem_id="animate-check")
    with gr.Column(visible=False) as explained:
        gr.Markdown("## How it was made", elem_classes="mc-about")
        diagnosis = gr.Markdown(label="Diagnosis", elem_id="animate-diagnosis", elem_classes="mc-about")
        used = gr.Gallery(
            label="One frame, step by step", columns=4, fit_columns=False, object_fit="contain",
            elem_classes="mc-flat mc-large", elem_id="animate-how",
        )  # fmt: skip
        timeline = gr.HTML(label="Timeline")
        with gr.Accordion("Picture, video and result side by side, and all numbers", open=False):
            both = gr.Video(label="Side by side", show_label=False, interactive=False, loop=True)
            records = gr.File(label="All numbers, frame by frame", height=80)
    inputs = [
        picture, driving, mode, best, strength, smooth, selector, t, variant, fit, crop, paste, audio, start, end, longest,
        scene, behind, picture_box, driving_box, subject, photos, model,
    ]  # fmt: skip
    outputs = [result, both, used, timeline, diagnosis, records, status]
    run = _Run(handlers, go, stop, status, [details, explained], handlers.animate, inputs, outputs, "animate", limits)
    made = gr.State([])
    triggers = [go.click] if strip is None else [go.click, pick_pair(strip, gallery, picture, driving).then]
    for trigger in triggers:
        run.on(trigger, public=trigger is triggers[0]).success(
            handlers.remember, [result, made], [made, files], preprocess=False, **PRIVATE
        )
    as_gif = gr.File(visible=False)
    gif.click(handlers.as_gif, result, as_gif, preprocess=False, **PRIVATE).success(
        handlers.remember, [as_gif, made], [made, files], preprocess=False, **PRIVATE
    )
    result.change(
        lambda video: gr.update(visible=bool(video)), result, details, preprocess=False, queue=False, **PRIVATE
    )
    stop.click(handlers.cancel, None, gr.Textbox(visible=False, label="Stopped"), api_name="cancel", queue=False)
    moving.upload(handlers.of_animation, moving, driving, preprocess=False, **PRIVATE)
    scene.change(lambda chosen: gr.update(visible=chosen == "picture"), scene, behind, queue=False, **PRIVATE)
    selector.change(lambda chosen: gr.update(visible=chosen == "fixed"), selector, t, queue=False, **PRIVATE)
    looked: dict[str, Any] = {
        "inputs": [picture, driving, mode, fit, crop, start, end, longest, picture_box, driving_box, subject, model],
        "outputs": check,
    }
    gr.on(
        [part.change for part in looked["inputs"][:-1]] + [page.load], handlers.check, **looked, **_looking("check")
    )  # fmt: skip
    check.click(Handlers.drawn, None, [picture_box, driving_box, subject], **PRIVATE)
    for part, texts in ((picture, [picture_box, subject]), (driving, [driving_box])):
        gone = ["" for _ in texts] + [gr.update(visible=False)] * 2  # what belongs to other inputs
        part.change(_returning(gone), None, [*texts, details, explained], queue=False, **PRIVATE)
    _api_only(
        handlers.preview, [picture, fit, crop, model], [gr.Image(visible=False), gr.Textbox(visible=False)], "preview"
    )
    _api_only(handlers.describe, [driving, start, end, longest], [gr.Textbox(visible=False)], "describe")
    by_model.modes.append(mode)
    by_model.variants.append(variant)
    by_model.scenes.append(scene)
    by_model.photos.append(photos)
    by_model.selectors.append(selector)
    return picture, driving


def _live(handlers: Handlers, examples: Examples, model: gr.State) -> None:
    def live_frame(sent: list[str]) -> str:
        return handlers.live_frame(*sent)

    def live_end(sent: list[str]) -> None:
        handlers.live_end(*sent)

    with gr.Row(elem_classes="mc-columns"):
        with gr.Column():
            gr.Markdown(
                "Move in front of your camera, and the picture moves with you. Step back until your hips are in view; the "
                "browser will ask for the camera. What it sees is not stored."
            )
            picture = picture_input(
                examples.pictures[0] if examples.pictures else None, "Picture", "The picture to animate"
            )
            with gr.Row(elem_classes="mc-close"):
                go = gr.Button("Start", variant="primary", elem_id="live-go", min_width=130)
                stop = gr.Button("Stop", variant="stop", elem_id="live-stop", min_width=130)
        shown = gr.HTML(
            "", label="Live picture (synthetic)", html_template=LIVE_PAGE, js_on_load=LIVE, elem_id="live-shown",
            elem_classes="mc-live", server_functions=[live_frame, live_end],
        )  # fmt: skip
    go.click(handlers.live_begin, [picture, model], shown, preprocess=False, **PRIVATE)
    stop.click(_returning(""), None, shown, queue=False, **PRIVATE)


def _interpolate(
    handlers: Handlers, limits: Limits, examples: Examples, model: gr.State, by_model: _ByModel
) -> tuple[gr.Image, gr.Image]:
    with gr.Row(elem_classes="mc-columns"):
        with gr.Column():
            gr.Markdown(
                "The images between two poses: the person in the first picture moves to the pose in the second.",
                elem_classes="mc-about",
            )
            with gr.Row(elem_classes="mc-close"):
                first = picture_input(first_of(examples.same, 0), "From", "The picture that moves")
                second = picture_input(first_of(examples.same, 1), "To pose", "The picture whose pose it takes")
            go = gr.Button("Interpolate", variant="primary", elem_id="interpolate-go")
            for title, pairs in (("The same person", examples.same), ("Different people", examples.different)):
                pair_choice(title, pairs, first, second)
            with gr.Accordion("Options", open=False):
                num = gr.Slider(2, limits.moments, 9, step=1, label="Number of images")
                mode = gr.Radio(_of_shipped(MODES_BETWEEN, OF_SHIPPED.modes), value="standard", label="Motion")
                path = gr.Radio(
                    [("Straight", "linear"), ("Rigid: limbs keep their length", "rigid")],
                    value="linear",
                    label="How the points on the body move",
                )
        with gr.Column():
            images = gr.Gallery(
                label="From the first pose to the second (synthetic)",
                columns=5,
                object_fit="contain",
                elem_classes="mc-flat",
            )
            t = gr.Slider(
                0, 1, 0.5, step=0.01, label="Moment: 0 is the first pose, 1 the second", elem_id="interpolate-t"
            )
            moment = gr.Image(
                label="Picture at this moment (synthetic)", alt_text="The picture at the chosen moment", interactive=False,
                buttons=["download", "fullscreen"], height=340, elem_id="interpolate-moment",
            )  # fmt: skip
            with gr.Accordion("Body points and their paths", open=False):
                keypoints = gr.HTML(label="Body points")
            with gr.Accordion("What the networks see", open=False):
                gr.Markdown(
                    "Deformation: how the picture is bent. Contribution: which body point moves which part (grey: "
                    "background). Occlusion: black parts are hidden in the first picture; the model painted them.",
                    elem_classes="mc-about",
                )
                maps = gr.Gallery(
                    label="Maps at this moment", columns=3, object_fit="contain", elem_classes="mc-flat mc-large"
                )
            with gr.Accordion("Export", open=False):
                kind = gr.Radio(["GIF", "MP4", "PNG"], value="GIF", label="Format", info="PNG gives a ZIP of pictures")
                export = gr.Button("Export", elem_id="interpolate-export")
                file = gr.File(label="Exported file", height=80, interactive=False)
    by_model.modes.append(mode)
    common = [mode, path, model]
    go.click(
        handlers.interpolate, [first, second, num, t, *common], [images, moment, keypoints, maps],
        api_name="interpolate", **_computing(limits),
    )  # fmt: skip
    t.input(handlers.moment, [first, second, t, *common], [moment, keypoints, maps], **_looking("moment"))
    for part in (first, second):
        part.change(_returning([None, None, "", None]), None, [images, moment, keypoints, maps], queue=False, **PRIVATE)
    export.click(
        handlers.export, [first, second, num, mode, path, kind, model], file,
        api_name="export", **_computing(limits),
    )  # fmt: skip
    return first, second


def _gallery(gallery: Gallery, tabs: gr.Tabs, animated: Sequence[Any], interpolated: Sequence[Any]) -> None:
    if not gallery.pieces:
        gr.Markdown("Nothing is here yet: `python -m space.make_gallery` makes the gallery from the examples.")
        return
    gr.Markdown(
        "Made by the model that comes with this app. All people here are computer graphics; none is real. Click a title to try "
        "that example yourself."
    )
    for kind, inputs, tab in (("animation", animated, "animate"), ("interpolation", interpolated, "interpolate")):
        pieces = [piece for piece in gallery.pieces if piece.kind == kind]
        wall = gr.HTML(gallery_wall(pieces), js_on_load=PICKED)

        def opened(event: gr.EventData, tab: str = tab, pieces: Sequence[Piece] = pieces) -> tuple[Any, str, str]:
            piece = pieces[int(event.index)]
            return gr.Tabs(selected=tab), str(piece.first), str(piece.second)

        wall.click(opened, None, [tabs, *inputs], **PRIVATE)


def _compare(
    handlers: Handlers,
    limits: Limits,
    examples: Examples,
    gallery: Gallery,
    model: gr.State,
    by_model: _ByModel,
) -> None:
    with gr.Row(elem_classes="mc-columns"):
        with gr.Column():
            gr.Markdown(
                "See two ways to animate the same picture: directly, or by way of a helper picture that the model makes "
                "between the two poses.",
                elem_classes="mc-about",
            )
            strip = example_pairs(gallery)
            picture, driving, moving = inputs_of_animation(examples)
            with gr.Row(elem_classes="mc-close"):
                go = gr.Button("Compare", variant="primary", elem_id="compare-go", min_width=130)
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="compare-stop", min_width=130)
            with gr.Accordion("Options", open=False):
                mode = gr.Dropdown(_of_shipped(MODES, OF_SHIPPED.modes), value=AnimationSettings.mode, label="Motion")
                t = gr.Slider(
                    0, 1, 0.5, step=0.01, label="Moment t of the interpolated image", visible=not OF_SHIPPED.chooses,
                    info="0 is the picture's pose, 1 the video's",
                )  # fmt: skip
                start = gr.Number(0, label="Start (seconds)", minimum=0)
                longest = gr.Slider(1, limits.seconds, min(4, limits.seconds), step=1, label="Use at most (seconds)")
        with gr.Column():
            status = gr.HTML(label="Progress", elem_id="compare-status")
            with gr.Column(visible=False) as details:
                wipe = gr.HTML(label="One over the other", elem_id="compare-wipe")
                with gr.Accordion("Side by side", open=False):
                    both = gr.Video(label="Side by side", show_label=False, interactive=False, loop=True)
    inputs = [picture, driving, mode, t, start, longest, model]
    outputs = [both, wipe, status]
    _Run(handlers, go, stop, status, [details], handlers.compare, inputs, outputs, "compare", limits).on(go.click)
    stop.click(handlers.cancel, None, gr.Textbox(visible=False, label="Stopped"), queue=False, **PRIVATE)
    moving.upload(handlers.of_animation, moving, driving, preprocess=False, **PRIVATE)
    if strip is not None:
        pick_pair(strip, gallery, picture, driving)
    by_model.modes.append(mode)
    by_model.times.append(t)


def _models(handlers: Handlers, limits: Limits, model: gr.State, banner: gr.HTML) -> Any:
    gr.Markdown(
        "You do not need this tab. A model is the trained program that moves the picture. What you load here is used in "
        "Animate, Live, Interpolate and Compare, for you alone."
    )
    kinds = [choice for choice in KINDS if limits.local_folders or choice[1] != "folder"]
    kind = gr.Radio(kinds, value="shipped", label="Model")
    name = gr.Textbox("", label="Folder, or name on the Hub", placeholder="name/model", visible=False)
    file = gr.File(label=f"Checkpoint, at most {limits.checkpoint_megabytes} MB", file_count="single", visible=False)
    size = gr.Number(256, label="Size of the pictures that it was trained with (pixels)", precision=0, visible=False)
    load = gr.Button("Load", variant="primary", elem_id="models-load")
    about = gr.Markdown(label="About the model", elem_id="models-about")
    gr.Markdown(
        "A checkpoint is a file that holds a trained model. Nothing in it is run. Its author's licence applies."
    )

    def fields(chosen: str) -> tuple[Any, Any, Any]:
        checkpoint = chosen == "checkpoint"
        return (
            gr.update(visible=chosen in ("folder", "hub")),
            gr.update(visible=checkpoint),
            gr.update(visible=checkpoint),
        )

    kind.change(fields, kind, [name, file, size], queue=False, **PRIVATE)
    load.click(_returning("Loading"), None, about, queue=False, **PRIVATE)
    loaded = load.click(
        handlers.load_model, [kind, name, file, size], [model, about, banner],
        api_name="load_model", preprocess=False, concurrency_limit=2, show_progress="hidden",
    )  # fmt: skip
    loaded.failure(_returning("Not loaded; the model is the one before."), None, about, queue=False, **PRIVATE)
    return loaded


@dataclass(frozen=True)
class _Run:
    """Work that takes long: it can be stopped from the click on, and what belongs to it follows."""

    handlers: Handlers
    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    shown: list[gr.Column]  # when it is done
    work: Callable[..., Any]
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    name: str
    limits: Limits

    def on(self, trigger: Callable[..., Any], public: bool = True) -> Any:
        """Begin when `trigger` does, an event such as a button's click; returns the event of the work.

        Args:
            public: whether programs find it by its name.
        """
        named: dict[str, Any] = {"api_name": self.name} if public else {"api_visibility": "private"}
        asked = trigger(self.handlers.announce, None, [self.status, self.go, self.stop], queue=False, **PRIVATE)
        trigger(_returning(_shown(False, self.shown)), None, self.shown, queue=False, **PRIVATE)  # the last run's
        done = asked.then(
            self.work, self.inputs, self.outputs, show_progress_on=self.status, **named, **_computing(self.limits)
        )
        done.then(self.handlers.finished, None, [self.go, self.stop], queue=False, **PRIVATE)
        done.success(_returning(_shown(True, self.shown)), None, self.shown, queue=False, **PRIVATE)
        done.failure(_returning(""), None, self.status, queue=False, **PRIVATE)  # the message says why
        return done


def _returning(values: Any) -> Callable[[], Any]:
    return lambda: values


def _shown(visible: bool, columns: Sequence[gr.Column]) -> Any:
    updates = [gr.update(visible=visible) for _ in columns]
    return updates if len(updates) > 1 else updates[0]


def _of_shipped(choices: list[tuple[str, str]], names: Sequence[str]) -> list[tuple[str, str]]:
    """Those choices that the shipped model has."""
    return [choice for choice in choices if choice[1] in names]


def _api_only(work: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], name: str) -> None:
    """An endpoint for programs."""
    gr.Button(visible=False).click(work, inputs, outputs, **_looking(name))


def _computing(limits: Limits) -> dict[str, Any]:
    """Options of what uses the networks: one after the other, in the order of asking."""
    return {
        "preprocess": False,
        "show_progress": "minimal",
        "concurrency_id": "compute",
        "concurrency_limit": limits.at_once,
    }


def _looking(name: str) -> dict[str, Any]:
    """Options of a quick look, which follows what a person does without getting in the way."""
    return {
        "api_name": name,
        "preprocess": False,
        "show_progress": "hidden",
        "trigger_mode": "always_last",
        "concurrency_id": "looking",
        "concurrency_limit": LOOKING,
    }
