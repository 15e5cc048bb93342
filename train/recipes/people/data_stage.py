"""Stage "data": renders people, and brings them, photo pairs and real clips to packs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from eval.rendered_people.annotations import pairs_file
from eval.rendered_people.clip import Plan
from eval.rendered_people.render import render_split
from motion_core.errors import InputError

from .correction import learn_correction, with_correction
from .limb_training import learn_limb_motion
from .loop import save_weights
from .pack import Pack, joined
from .prepare import clip_pack, photo_pack, photos_for_training, rendered_pack, write_places

CONTENTS = "contents.csv"
COLUMNS = ("origin", "licence", "pictures")
PHOTOS = ("yuhonas/free-exercise-db", "Unlicense")  # origin and licence of the photo pairs
CATEGORIES = ("body", "gesture")  # of the clips: those of whole or half people
FRAMES, RATE = 12, 4


@dataclass(frozen=True)
class Sources:
    """What the data are made of.

    Attributes:
        body, motion: files for the renderer (docs/benchmark.md).
        photos: folder of photo pairs.
        clips: manifest of real clips: a csv file with the columns path, category, licence, weights_may_ship and source.
    """

    body: Path
    motion: Path
    photos: Path
    clips: Path


@dataclass(frozen=True)
class Render:
    """One rendering of the recipe: so many people with two clips each; moving as captured or as choreographed."""

    name: str
    identities: int
    seed: int
    captured: bool
    places: bool


RENDERS = (
    Render("plain", 240, 201, captured=True, places=False),
    Render("places", 150, 301, captured=True, places=True),
)


def make_data(sources: Sources, work: Path, workers: int) -> None:
    """Render, pack, and write the table of contents; people that are rendered already are not rendered again.

    Raises:
        InputError: a file is missing.
    """
    contents: list[tuple[str, str, int]] = []
    photos = photos_for_training(sources.photos)
    write_places(photos, work / "places")
    packs = {"real": photo_pack(photos)}
    contents.append((*PHOTOS, len(packs["real"].frames)))
    packs["rendered"] = joined([_rendered(render, sources, work, workers) for render in RENDERS])
    contents.append(("rendered by this project", "-", len(packs["rendered"].frames)))
    clips = []
    for row in shippable(sources.clips):
        pack = clip_pack(sources.clips.parent, row["path"])
        if pack is not None:
            clips.append(pack)
            contents.append((row["source"], row["licence"], len(pack.frames)))
    packs["clips"] = joined(clips)
    network = learn_correction(packs["rendered"])
    save_weights(nn.ModuleDict({"correction": network}), work / "weights" / "correction.safetensors")
    corrected = dict(zip(packs, with_correction(network, list(packs.values())), strict=True))
    limbs = learn_limb_motion(corrected["rendered"])
    save_weights(nn.ModuleDict({"limb_motion": limbs}), work / "weights" / "limbs.safetensors")
    folder = work / "packs"
    for name, pack in corrected.items():
        pack.write(folder / name)
    with (folder / CONTENTS).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *contents])


def _rendered(render: Render, sources: Sources, work: Path, workers: int) -> Pack:
    root = work / "rendered" / render.name
    plan = Plan(
        "train",
        render.seed,
        FRAMES,
        RATE,
        body=sources.body,
        near=True,
        motion=sources.motion if render.captured else None,
        places=work / "places" if render.places else None,
    )
    if not pairs_file(root, "train").is_file():
        render_split(plan, root, render.identities, 2, workers=workers, pairs=1)
    return rendered_pack(root, "train", workers)


def shippable(manifest: Path) -> list[dict[str, str]]:
    """The rows of clips that weights which ship may be trained on.

    Raises:
        InputError: the manifest cannot be read.
    """
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
            return [row for row in rows if row["weights_may_ship"] == "yes" and row["category"] in CATEGORIES]
    except (OSError, KeyError) as error:
        raise InputError(f"{manifest}: must be a manifest of clips, but is not: {error}") from error
