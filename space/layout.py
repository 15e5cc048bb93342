"""What is on the page, and which button does what. There is no model code here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from motion_core import AnimationSettings

from .choices import SHIPPED, Choices
from .handlers import Handlers
from .limits import Limits
from .parts import PRIVATE, first_of, inputs_of_examples, pair_choice, picture_input
from .showcase import Examples, read_examples, read_gallery

THEME = gr.themes.Soft(
    primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], radius_size="md"
)
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
CONSENT = (
    '<p class="mc-consent"><strong>Synthetic.</strong> Everything made here is synthetic, and says so in the file. '
    "Animate only people who agreed to it, and never to deceive.</p>"
)
MODES = [
    ("Automatic: as suits the model", "auto"),
    ("Relative: the picture keeps its own pose and proportions", "relative"),
    ("Pose: the picture takes the video's poses, in its own size and place", "pose"),
    ("Standard: the picture takes the video's pose, size and place", "standard"),
    ("AVD: the video's pose in the picture's proportions", "avd"),
]
SELECTORS = [("Automatic", "automatic"), ("A fixed t", "fixed"), ("None: the picture itself", "none")]
VARIANTS = [
    ("As the model was trained", "as trained"),
    ("tpsmm: the picture is animated directly", "tpsmm"),
    ("full: over an interpolated image", "full"),
    ("v2: both, fused", "v2"),
]
FITS = [("All of it, padded", "pad"), ("The middle, cropped", "crop"), ("Stretched", "stretch")]
KINDS = [
    ("The shipped model", "shipped"),
    ("A folder on this computer", "folder"),
    ("The Hugging Face Hub", "hub"),
    ("A TPSMM checkpoint (.pth.tar)", "checkpoint"),
]


def build(handlers: Handlers, examples_folder: Path, gallery_folder: Path, cache: tuple[int, int]) -> gr.Blocks:
    """The page with its five tabs; `cache` says every how many seconds files older than how many are deleted."""
    limits = handlers.limits
    examples = read_examples(examples_folder)
    with gr.Blocks(title="Motion transfer", analytics_enabled=False, delete_cache=cache) as page:
        gr.Markdown("# Motion transfer\nAnimate a picture with the motion of a video.", elem_classes="mc-title")
        banner = gr.HTML(label="Model in use")
        model = gr.State(SHIPPED)
        with gr.Tabs() as tabs:
            with gr.Tab("Animate", id="animate"):
                animated = _animate(handlers, limits, examples, model, page)
            with gr.Tab("Interpolate", id="interpolate"):
                interpolated = _interpolate(handlers, limits, examples, model)
            with gr.Tab("Gallery", id="gallery"):
                _gallery(gallery_folder, examples_folder, tabs, animated, interpolated)
            with gr.Tab("Compare", id="compare"):
                _compare(handlers, limits, examples, model)
            with gr.Tab("Models", id="models"):
                _models(handlers, limits, model, banner)
        page.load(handlers.shipped_banner, None, banner, **PRIVATE)
        page.unload(handlers.leave)
    return page


def _animate(
    handlers: Handlers, limits: Limits, examples: Examples, model: gr.State, page: gr.Blocks
) -> tuple[gr.Image, gr.Video]:
    with gr.Row(elem_classes="mc-columns"):
        with gr.Column():
            picture, driving = inputs_of_examples(examples)
            about = gr.Markdown(label="About the video", elem_classes="mc-about")
            with gr.Accordion("How the picture will be cut", open=False):
                cut = gr.Image(
                    label="The dimmed part is not used", alt_text="The picture, dimmed where it will not be used",
                    interactive=False, buttons=["fullscreen"], height=240,
                )  # fmt: skip
                placement = gr.Markdown(label="What is used")
            mode = gr.Radio(MODES, value=AnimationSettings.mode, label="Motion")
            with gr.Accordion("Strength, start and smoothing", open=False):
                strength = gr.Slider(0, 2, AnimationSettings.strength, step=0.05, label="Strength of the motion")
                best = gr.Checkbox(False, label="Start at the video's frame that is most like the picture")
                smooth = gr.Checkbox(False, label="Smooth the motion, so that still parts tremble less")
            with gr.Accordion("Interpolated image", open=False):
                selector = gr.Radio(SELECTORS, value="automatic", label="Which image is animated")
                t = gr.Slider(
                    0, 1, 0.5, step=0.01, label="Fixed t", info="Used with “A fixed t”: 0 is the picture, 1 the pose"
                )
                variant = gr.Dropdown(VARIANTS, value="as trained", label="Variant")
            with gr.Accordion("Picture and part of the video", open=False):
                fit = gr.Radio(FITS, value=AnimationSettings.fit, label="A picture of another shape")
                crop = gr.Radio(
                    [("The whole picture", "everything"), ("The subject only", "subject")],
                    value="everything",
                    label="What moves",
                )
                paste = gr.Checkbox(False, label="Put the moving part back into the large picture")
                audio = gr.Checkbox(True, label="Keep the video's sound")
                with gr.Row():
                    start = gr.Number(0, label="From second", minimum=0, min_width=100)
                    end = gr.Number(0, label="To second (0: the end)", minimum=0, min_width=100)
                longest = gr.Slider(
                    1, limits.seconds, min(Choices.longest, limits.seconds), step=1, label="At most, in seconds"
                )
        with gr.Column():
            with gr.Row():
                go = gr.Button("Animate", variant="primary", elem_id="animate-go")
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="animate-stop")
            status = gr.HTML(label="Progress", elem_id="animate-status")
            result = gr.Video(
                label="Result (synthetic)", interactive=False, autoplay=True, loop=True, elem_id="animate-result",
            )  # fmt: skip
            gr.HTML(CONSENT)
            with gr.Column(visible=False) as details:
                diagnosis = gr.Markdown(label="Diagnosis", elem_id="animate-diagnosis", elem_classes="mc-about")
                with gr.Accordion("Source, driving video and result side by side"):
                    both = gr.Video(label="Side by side", show_label=False, interactive=False, loop=True)
                with gr.Accordion("The images that were animated, and when"):
                    used = gr.Gallery(
                        label="Animated images",
                        columns=4,
                        fit_columns=False,
                        object_fit="contain",
                        elem_classes="mc-flat mc-large",
                    )
                    timeline = gr.HTML(label="Timeline")
                    records = gr.File(label="All numbers, frame by frame", height=80)
    inputs = [
        picture, driving, mode, best, strength, smooth, selector, t, variant, fit, crop, paste, audio, start, end, longest, model,
    ]  # fmt: skip
    outputs = [result, both, used, timeline, diagnosis, records, status]
    _run(handlers, go, stop, status, handlers.animate, inputs, outputs, details, "animate", limits)
    stop.click(handlers.cancel, None, gr.Textbox(visible=False, label="Stopped"), api_name="cancel", queue=False)
    shown: dict[str, Any] = {"inputs": [picture, fit, crop, model], "outputs": [cut, placement]}
    told: dict[str, Any] = {"inputs": [driving, start, end, longest], "outputs": about}
    picture.change(handlers.preview, **shown, **_looking("preview"))
    driving.change(handlers.describe, **told, **_looking("describe"))
    for choice in (fit, crop):
        choice.change(handlers.preview, **shown, **_looking(None))
    for part in (start, end, longest):
        part.change(handlers.describe, **told, **_looking(None))
    page.load(handlers.preview, **shown, **_looking(None))
    page.load(handlers.describe, **told, **_looking(None))
    return picture, driving


def _interpolate(handlers: Handlers, limits: Limits, examples: Examples, model: gr.State) -> tuple[gr.Image, gr.Image]:
    with gr.Row(elem_classes="mc-columns"):
        with gr.Column():
            with gr.Row():
                first = picture_input(first_of(examples.same, 0), "From this picture", "The picture that moves")
                second = picture_input(
                    first_of(examples.same, 1), "To the pose in this one", "The picture whose pose it takes"
                )
            for title, pairs in (("The same person", examples.same), ("Different people", examples.different)):
                pair_choice(title, pairs, first, second)
            num = gr.Slider(2, limits.moments, 9, step=1, label="Images")
            mode = gr.Radio(MODES[2:], value="standard", label="Motion")
            path = gr.Radio(
                [("Straight", "linear"), ("Rigid: limbs keep their length", "rigid")],
                value="linear",
                label="Paths of the keypoints",
            )
            go = gr.Button("Interpolate", variant="primary", elem_id="interpolate-go")
        with gr.Column():
            images = gr.Gallery(
                label="From t = 0 to t = 1 (synthetic)", columns=5, object_fit="contain", elem_classes="mc-flat"
            )
            t = gr.Slider(0, 1, 0.5, step=0.01, label="Any moment t", elem_id="interpolate-t")
            moment = gr.Image(
                label="The moment t (synthetic)", alt_text="The interpolated image at the chosen t", interactive=False,
                buttons=["download", "fullscreen"], height=340, elem_id="interpolate-moment",
            )  # fmt: skip
            gr.HTML(CONSENT)
            with gr.Accordion("Keypoints and their paths", open=False):
                keypoints = gr.HTML(label="Keypoints")
            with gr.Accordion("Deformation, contribution maps and occlusion", open=False):
                gr.Markdown(
                    "Deformation: a straight grid on the first picture, moved along. Contribution: which keypoints move "
                    "what, in the keypoints' colours; grey is the background. Occlusion: what is black had to be painted.",
                    elem_classes="mc-about",
                )
                maps = gr.Gallery(label="Maps at t", columns=3, object_fit="contain", elem_classes="mc-flat mc-large")
            with gr.Accordion("Export", open=False):
                kind = gr.Radio(["GIF", "MP4", "PNG"], value="GIF", label="Format", info="PNG gives a ZIP of pictures")
                export = gr.Button("Export", elem_id="interpolate-export")
                file = gr.File(label="Exported file", height=80, interactive=False)
    common = [mode, path, model]
    go.click(
        handlers.interpolate, [first, second, num, t, *common], [images, moment, keypoints, maps],
        api_name="interpolate", **_computing(limits),
    )  # fmt: skip
    t.input(handlers.moment, [first, second, t, *common], [moment, keypoints, maps], **_looking("moment"))
    export.click(
        handlers.export, [first, second, num, mode, path, kind, model], file,
        api_name="export", **_computing(limits),
    )  # fmt: skip
    return first, second


def _gallery(folder: Path, examples: Path, tabs: gr.Tabs, animated: Sequence[Any], interpolated: Sequence[Any]) -> None:
    gallery = read_gallery(folder, examples)
    if not gallery.pieces:
        gr.Markdown(
            "Nothing is here yet. `python -m space.make_gallery --model MODEL` makes the gallery from the examples with a model."
        )
        return
    gr.Markdown(f"Made with {gallery.model} from rendered people; nobody in it is real. All of it is synthetic.")
    for kind, title, width, inputs, tab in (
        ("animation", "Animations", 360, animated, "animate"),
        ("interpolation", "Interpolations", 560, interpolated, "interpolate"),
    ):
        gr.Markdown(f"### {title}")
        with gr.Row():
            for piece in (piece for piece in gallery.pieces if piece.kind == kind):
                with gr.Column(min_width=width):
                    path, words = str(piece.shown.path), piece.shown.title
                    shown: dict[str, Any] = {"label": words, "show_label": False, "interactive": False}
                    if kind == "animation":
                        gr.Video(path, loop=True, buttons=[], **shown)
                    else:
                        gr.Image(path, alt_text=words, buttons=["fullscreen"], **shown)
                    gr.Markdown(words, elem_classes="mc-caption")
                    opened = gr.Button(f"Open in {tab.capitalize()}", size="sm")
                    opened.click(_opening(tab, piece.first, piece.second), None, [tabs, *inputs], **PRIVATE)


def _compare(handlers: Handlers, limits: Limits, examples: Examples, model: gr.State) -> None:
    gr.Markdown("The same pair, animated directly (tpsmm) and by the full method, with the same weights.")
    with gr.Row(elem_classes="mc-columns"):
        with gr.Column():
            picture, driving = inputs_of_examples(examples)
            mode = gr.Radio(MODES, value=AnimationSettings.mode, label="Motion")
            with gr.Accordion("Part of the video, and t", open=False):
                t = gr.Slider(0, 1, 0.5, step=0.01, label="t of the hop, for models without a selector")
                start = gr.Number(0, label="From second", minimum=0)
                longest = gr.Slider(1, limits.seconds, min(4, limits.seconds), step=1, label="At most, in seconds")
        with gr.Column():
            with gr.Row():
                go = gr.Button("Compare", variant="primary", elem_id="compare-go")
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="compare-stop")
            status = gr.HTML(label="Progress", elem_id="compare-status")
            gr.HTML(CONSENT)
            with gr.Column(visible=False) as details:
                wipe = gr.HTML(label="One over the other", elem_id="compare-wipe")
                with gr.Accordion("Side by side"):
                    both = gr.Video(label="Side by side", show_label=False, interactive=False, loop=True)
    inputs = [picture, driving, mode, t, start, longest, model]
    _run(handlers, go, stop, status, handlers.compare, inputs, [both, wipe, status], details, "compare", limits)
    stop.click(handlers.cancel, None, gr.Textbox(visible=False, label="Stopped"), queue=False, **PRIVATE)


def _models(handlers: Handlers, limits: Limits, model: gr.State, banner: gr.HTML) -> None:
    gr.Markdown("The model that all tabs use, for you alone; others keep theirs.")
    kinds = [choice for choice in KINDS if limits.local_folders or choice[1] != "folder"]
    kind = gr.Radio(kinds, value="shipped", label="Model")
    name = gr.Textbox("", label="Folder, or name on the Hub", placeholder="name/model", visible=False)
    file = gr.File(label=f"Checkpoint, at most {limits.checkpoint_megabytes} MB", file_count="single", visible=False)
    size = gr.Number(256, label="Side of the pictures that it was trained at", precision=0, visible=False)
    load = gr.Button("Load", variant="primary", elem_id="models-load")
    about = gr.Markdown(label="About the model", elem_id="models-about")
    gr.Markdown(
        "A checkpoint is converted here; nothing in it is executed. Its licence is its author's: look it up where you got it."
    )

    def fields(chosen: str) -> tuple[Any, Any, Any]:
        checkpoint = chosen == "checkpoint"
        return (
            gr.update(visible=chosen in ("folder", "hub")),
            gr.update(visible=checkpoint),
            gr.update(visible=checkpoint),
        )

    kind.change(fields, kind, [name, file, size], queue=False, **PRIVATE)
    load.click(
        handlers.load_model, [kind, name, file, size], [model, about, banner],
        api_name="load_model", preprocess=False, concurrency_limit=2, show_progress_on=about,
    )  # fmt: skip


def _run(
    handlers: Handlers,
    go: gr.Button,
    stop: gr.Button,
    status: gr.HTML,
    work: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    details: gr.Column,
    name: str,
    limits: Limits,
) -> None:
    """Wire a button to work that takes long: it can be stopped from the click on, and what belongs to it follows."""
    asked = go.click(handlers.announce, None, [status, go, stop], queue=False, **PRIVATE)
    done = asked.then(
        work, inputs, outputs, api_name=name, show_progress_on=status, **_computing(limits)
    )  # fmt: skip
    done.then(handlers.finished, None, [go, stop], queue=False, **PRIVATE)
    done.success(lambda: gr.update(visible=True), None, details, queue=False, **PRIVATE)
    done.failure(lambda: "", None, status, queue=False, **PRIVATE)  # the message says why


def _computing(limits: Limits) -> dict[str, Any]:
    """Options of what uses the networks: one after the other, in the order of asking."""
    return {
        "preprocess": False,
        "show_progress": "minimal",
        "concurrency_id": "compute",
        "concurrency_limit": limits.at_once,
    }


def _looking(name: str | None) -> dict[str, Any]:
    """Options of a quick look, which follows what a person does without getting in the way."""
    visibility: dict[str, Any] = {"api_visibility": "private"} if name is None else {"api_name": name}
    return {
        **visibility,
        "preprocess": False,
        "show_progress": "hidden",
        "trigger_mode": "always_last",
        "concurrency_id": "looking",
        "concurrency_limit": 2,
    }


def _opening(tab: str, first: Path, second: Path) -> Callable[[], tuple[Any, str, str]]:
    return lambda: (gr.Tabs(selected=tab), str(first), str(second))
