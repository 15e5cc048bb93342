"""The report on videos: published and clean form of each metric, per video and over all, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from .tables import counts, plain, statistics

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
# The column of the frames whose mean over all frames is the published form.
PUBLISHED = {"l1": "l1", "akd": "akd_per_coordinate", "mkr": "mkr", "aed": "aed_squared"}
# Clean forms that are a ratio of sums over a video; the others are means over its frames.
RATIOS = {"mkr": ("missing", "to_find"), "jitter": ("jitter", "driving_jitter")}
PER_FRAME = ("l1", "akd", "akd_per_coordinate", "mkr", "aed", "aed_squared", "psnr", "ssim", "lpips", "flicker")
STILL = "too few joints in three frames running, or the driving video does not tremble"


def clean_figures(frames: pd.DataFrame) -> pd.DataFrame:
    """The metrics of each video in the clean form: a row per video, a column per metric that was measured.

    Args:
        frames: `evaluation.evaluate`'s records with the column "video".
    """
    videos = frames.groupby("video", sort=False)
    figures = {}
    for metric in (name for name in LABELS if name in frames):
        if metric in RATIOS:
            above, below = (videos[column].sum() for column in RATIOS[metric])
            figures[metric] = above / below.where(below > 0)
        else:
            figures[metric] = videos[metric].mean()
    return pd.DataFrame(figures)


def totals(frames: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Each measured metric over all videos.

    Returns:
        by metric: "published", the mean over the frames of all videos in the published form (None where it has none);
        "clean", the mean over videos of each video's figure, with its "standard_error"; "videos" and "frames", how many
        it is defined for (0 frames: it is not made of frames); "undefined", frames (for jitter: videos) without it, by reason.
    """
    result = {}
    for metric, column in clean_figures(frames).items():
        clean = statistics(column)
        form = PUBLISHED.get(str(metric), metric if metric in PER_FRAME else None)
        result[str(metric)] = {
            "published": plain(frames[PUBLISHED[str(metric)]].mean()) if metric in PUBLISHED else None,
            "clean": clean["mean"],
            "standard_error": clean["stderr"],
            "videos": clean["count"],
            "frames": 0 if form is None else int(frames[form].count()),
            "undefined": _undefined(frames, str(metric), column),
        }
    return result


def _undefined(frames: pd.DataFrame, metric: str, clean: pd.Series) -> dict[str, int]:
    if metric == "jitter":
        return {STILL: int(clean.isna().sum())} if clean.isna().any() else {}
    return counts(frames[f"undefined {metric}"]) if f"undefined {metric}" in frames else {}


@dataclass(frozen=True)
class Report:
    """The measured videos.

    Attributes:
        kind: "reconstruction" or "animation".
        about: names and versions of the model and the instruments.
        frames: a row per frame, see `evaluation.evaluate`, with the column "video".
        excluded: videos that were not measured, and why.
    """

    kind: str
    about: dict[str, Any]
    frames: pd.DataFrame
    excluded: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Everything, as values that JSON has."""
        clean = clean_figures(self.frames)
        videos = {
            str(name): _video_json(own, clean.loc[[name]]) for name, own in self.frames.groupby("video", sort=False)
        }
        return {
            "kind": self.kind,
            "about": self.about,
            "overall": totals(self.frames),
            "excluded": self.excluded,
            "videos": videos,
        }

    def table(self) -> str:
        """The report as text."""
        overall = totals(self.frames)
        videos, frames = self.frames["video"].nunique(), len(self.frames)
        lines = [f"{self.kind}: {videos} videos, {frames} frames, {len(self.excluded)} videos excluded"]
        lines += [f"  excluded: {name}: {reason}" for name, reason in self.excluded.items()]
        lines += [f"  {name}: {value}" for name, value in self.about.items() if not isinstance(value, dict)]
        lines.append(f"{'':28}{'published':>12}{'clean':>12}{'+-':>10}{'videos':>8}{'frames':>8}")
        for metric, total in overall.items():
            numbers = f"{_text(total['published']):>12}{_text(total['clean']):>12}{_text(total['standard_error']):>10}"
            lines.append(f"{LABELS[metric]:28}{numbers}{total['videos']:>8}{total['frames'] or '':>8}")
        lines += [
            f"  {LABELS[metric]}: not defined {count} times: {reason}"
            for metric, total in overall.items()
            for reason, count in total["undefined"].items()
        ]
        lines.append(
            "published: mean over all frames, in the published form; clean: mean over videos, +- its standard error"
        )
        return "\n".join(lines)


def _video_json(frames: pd.DataFrame, clean: pd.DataFrame) -> dict[str, Any]:
    """One video: its frames, and its row of the clean figures."""
    undefined = {str(metric): _undefined(frames, str(metric), clean[metric]) for metric in clean}
    return {
        "frames": len(frames),
        "published": {name: plain(frames[column].mean()) for name, column in PUBLISHED.items() if column in frames},
        "clean": {str(metric): plain(clean[metric].iloc[0]) for metric in clean},
        "undefined": {metric: reasons for metric, reasons in undefined.items() if reasons},
        "per_frame": {name: [plain(value) for value in frames[name]] for name in PER_FRAME if name in frames},
    }


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
