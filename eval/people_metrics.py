"""The metrics of pictures of people: a record per pair, and a row per model over all pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .evaluation import Instruments, Record, evaluate
from .landmarks import LandmarkDetector
from .metric_functions import l1
from .people_pairs import PeoplePair

COPY = "copy"
COLUMNS = ("l1", "figure_l1", "akd", "mkr", "gradient", "real_gradient")
LUMA = (0.299, 0.587, 0.114)  # of R, G, B


def people_record(pair: PeoplePair, result: np.ndarray, detector: LandmarkDetector, copied: bool = False) -> Record:
    """A result against the driving picture of its pair.

    Args:
        result: ``(256, 256, 3)`` uint8.
        copied: it is the source itself, whose figure is elsewhere: its gradient is taken there.

    Returns:
        "l1" and "figure_l1": mean absolute difference, images from 0 to 1, of the whole picture and on the driving figure.
        "akd": mean distance of the joints found in both, per cent of the side; "mkr": share of the driving picture's joints
        that are missing in the result. "gradient" and "real_gradient": mean `luma_gradient` on the figure, of the result and
        of the driving picture.
    """
    measured = evaluate([(result, pair.driving)], Instruments(detector=detector))[0]
    figure = pair.driving_figure
    return {
        "l1": measured["l1"],
        "figure_l1": l1(result[figure], pair.driving[figure]),
        "akd": 100 * measured["akd"] / max(result.shape),
        "mkr": measured["mkr"],
        "gradient": float(luma_gradient(result)[pair.source_figure if copied else figure].mean()),
        "real_gradient": float(luma_gradient(pair.driving)[figure].mean()),
    }


def luma_gradient(image: np.ndarray) -> np.ndarray:
    """The magnitude of the gradient of luma: how much it changes to the next pixel on the right and to the next one below.

    Args:
        image: ``(H, W, 3)`` uint8.

    Returns:
        ``(H, W)``, luma from 0 to 1; it does not change beyond the border.

    Example:
        >>> luma_gradient(np.repeat(np.array([[0, 153], [0, 0]], np.uint8)[..., None], 3, axis=2)).round(3).tolist()
        [[0.6, 0.6], [0.0, 0.0]]
    """
    luma = image @ np.array(LUMA) / 255
    right = np.diff(luma, axis=1, append=luma[:, -1:])
    below = np.diff(luma, axis=0, append=luma[-1:])
    return np.hypot(right, below)


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """A row per model with means over pairs and ratios of means; NaN where no pair has the figure.

    Args:
        records: `people_record`s with the column "model", of the same pairs for each; the model "copy" is the source itself.
    """
    mean = records.groupby("model", sort=False)[list(COLUMNS)].mean()
    copy = mean.loc[COPY]
    return pd.DataFrame(
        {
            "L1": mean["l1"],
            "L1 over copying": mean["l1"] / (copy["l1"] or np.nan),
            "on the figure": mean["figure_l1"] / (copy["figure_l1"] or np.nan),
            "AKD, %": mean["akd"],
            "MKR": mean["mkr"],
            "sharpness": mean["gradient"] / mean["real_gradient"].where(mean["real_gradient"] > 0),
        }
    )
