"""Figures of all videos together, as JSON and as a table: published and clean form side by side, and what was left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .measuring import VideoFigures

# Of each metric, what is averaged for the published form (None: there is none) and for the clean one ("pooled": the video's own).
FORMS: dict[str, tuple[str | None, str]] = {
    "l1": ("l1", "l1"),
    "akd": ("akd_per_coordinate", "akd"),
    "mkr": ("mkr", "pooled"),
    "aed": ("aed_squared", "aed"),
    "identity_apart": (None, "pooled"),
    "psnr": (None, "psnr"),
    "ssim": (None, "ssim"),
    "lpips": (None, "lpips"),
    "jitter": (None, "pooled"),
    "flicker": (None, "flicker"),
}
LABELS = {
    "l1": "L1, 0 to 1",
    "akd": "AKD, pixels",
    "mkr": "MKR, share",
    "aed": "AED",
    "identity_apart": "AED of source and driving",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "jitter": "jitter over driving video's",
    "flicker": "flicker, 0 to 1",
}


@dataclass(frozen=True)
class Total:
    """One metric over all videos.

    Attributes:
        published: mean over the frames of all videos, in the published form; None where it has none or nothing is defined.
        clean: mean over videos of each video's figure in the clean form; None where nothing is defined.
        standard_error: of `clean`, from the videos' spread; None for fewer than two.
        videos: how many it is defined for.
        frames: likewise; 0 for a figure that is not made of frames.
        undefined: for how many frames (or videos, where it is not made of frames) it is not defined, and why.
    """

    published: float | None
    clean: float | None
    standard_error: float | None
    videos: int
    frames: int
    undefined: dict[str, int]


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        kind: "reconstruction" or "animation".
        about: what made the videos and what measured them: names and versions.
        totals: by metric.
        videos: by name.
        excluded: videos that were not measured, and why.
    """

    kind: str
    about: dict[str, Any]
    totals: dict[str, Total]
    videos: dict[str, VideoFigures]
    excluded: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Everything, as values that JSON has."""
        return {
            "kind": self.kind,
            "about": self.about,
            "overall": {metric: vars(total) for metric, total in self.totals.items()},
            "excluded": self.excluded,
            "videos": {name: _video_json(figures) for name, figures in self.videos.items()},
        }

    def table(self) -> str:
        """What people want to see."""
        frames = sum(figures.frames for figures in self.videos.values())
        lines = [f"{self.kind}: {len(self.videos)} videos, {frames} frames, {len(self.excluded)} videos excluded"]
        lines += [f"  excluded: {name}: {reason}" for name, reason in self.excluded.items()]
        lines += [f"  {name}: {value}" for name, value in self.about.items() if not isinstance(value, dict)]
        lines.append(f"{'':28}{'published':>12}{'clean':>12}{'+-':>10}{'videos':>8}{'frames':>8}")
        for metric, total in self.totals.items():
            numbers = f"{_text(total.published):>12}{_text(total.clean):>12}{_text(total.standard_error):>10}"
            lines.append(f"{LABELS[metric]:28}{numbers}{total.videos:>8}{total.frames or '':>8}")
        lines += [
            f"  {LABELS[metric]}: not defined {count} times: {reason}"
            for metric, total in self.totals.items()
            for reason, count in total.undefined.items()
        ]
        lines.append(
            "published: mean over all frames, in the published form; clean: mean over videos, +- its standard error"
        )
        return "\n".join(lines)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _video_json(figures: VideoFigures) -> dict[str, Any]:
    forms = {metric: _forms(figures, metric) for metric in FORMS if _measured(figures, metric)}
    return {
        "frames": figures.frames,
        "published": {metric: published for metric, (published, _) in forms.items() if FORMS[metric][0] is not None},
        "clean": {metric: clean for metric, (_, clean) in forms.items()},
        "undefined": {metric: dict(reasons) for metric, reasons in figures.undefined.items()},
        "per_frame": figures.per_frame,
    }


def _measured(figures: VideoFigures, metric: str) -> bool:
    return metric in figures.pooled or metric in figures.per_frame


def _forms(figures: VideoFigures, metric: str) -> tuple[float | None, float | None]:
    """The published and the clean form of a metric of one video."""
    published, clean = FORMS[metric]
    own = figures.pooled[metric] if clean == "pooled" else _mean(figures.per_frame[clean])
    return (None if published is None else _mean(figures.per_frame[published])), own


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def totals(videos: Mapping[str, VideoFigures]) -> dict[str, Total]:
    """The metrics over all videos; those that were not measured are left out."""
    result = {}
    for metric, (published, clean) in FORMS.items():
        measured = [figures for figures in videos.values() if _measured(figures, metric)]
        if measured:
            result[metric] = _total(measured, metric, published, clean)
    return result


def _total(measured: Sequence[VideoFigures], metric: str, published: str | None, clean: str) -> Total:
    own = [value for value in (_forms(figures, metric)[1] for figures in measured) if value is not None]
    form = published if published is not None else None if clean == "pooled" else clean
    frames = [] if form is None else [value for figures in measured for value in figures.per_frame[form]]
    mean, error = _mean(own), None
    if mean is not None and len(own) > 1:
        error = math.sqrt(math.fsum((value - mean) ** 2 for value in own) / (len(own) - 1) / len(own))
    undefined: Counter[str] = sum((figures.undefined.get(metric, Counter()) for figures in measured), Counter())
    return Total(
        published=None if published is None else _mean(frames),
        clean=mean,
        standard_error=error,
        videos=len(own),
        frames=sum(value is not None for value in frames),
        undefined=dict(undefined),
    )
