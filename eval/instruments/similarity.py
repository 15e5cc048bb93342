"""The similarity of two frames by torchmetrics: PSNR, SSIM, and LPIPS where the weights of its backbone are on this machine.

Frames are ``(H, W, 3)`` uint8 RGB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from motion_core.errors import InputError, first_sentence
from motion_core.media import to_float

from . import optional

_SIGMA, _WINDOW = 1.5, 11  # pixels; of SSIM's Gaussian window, the second along its side, which follows from the first


class Similarity:
    """The similarity measures that can be had here.

    Args:
        device: where LPIPS runs.

    Attributes:
        version: of torchmetrics, with what the figures depend on.
        lpips_missing: what has to be done so that LPIPS is measured; None where it is.

    Raises:
        InputError: torchmetrics is not installed, or the weights for LPIPS are damaged.
    """

    def __init__(self, device: str = "cpu") -> None:
        library: Any = optional("torchmetrics", "eval", "measuring PSNR and SSIM")
        self._metrics: Any = library.functional.image
        from torchvision.models import AlexNet_Weights

        # torchvision would fetch the file if it was not there.
        url = AlexNet_Weights.IMAGENET1K_V1.url
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
        self._device = device
        self._lpips = _lpips(file).to(device) if file.is_file() else None
        self.lpips_missing = None if file.is_file() else f"put {url} into {file.parent}"
        lpips = "" if self._lpips is None else ", LPIPS with AlexNet"
        self.version = f"torchmetrics {library.__version__}, SSIM with a Gaussian window of {_WINDOW}{lpips}"

    def psnr(self, made: np.ndarray, real: np.ndarray) -> float:
        """Peak signal to noise ratio in dB; infinite for frames that are the same."""
        value = self._metrics.peak_signal_noise_ratio(*_pair(made, real), data_range=1.0)
        return float(value)

    def ssim(self, made: np.ndarray, real: np.ndarray) -> float:
        """Structural similarity, 1 for the same. Wang et al., "Image quality assessment: from error visibility to structural
        similarity", IEEE Transactions on Image Processing, 2004. Over all pixels; beyond the border the frames are mirrored.

        Raises:
            InputError: the frames are smaller than its window.
        """
        if min(made.shape[:2]) < _WINDOW:
            raise InputError(f"SSIM needs frames of {_WINDOW} pixels or more along each side, got {made.shape[:2]}")
        value = self._metrics.structural_similarity_index_measure(*_pair(made, real), sigma=_SIGMA, data_range=1.0)
        return float(value)

    @torch.inference_mode()
    def lpips(self, made: np.ndarray, real: np.ndarray) -> float | None:
        """Perceptual distance, 0 for the same; None where it is not measured. Zhang et al., "The unreasonable effectiveness
        of deep features as a perceptual metric", CVPR 2018."""
        if self._lpips is None:
            return None
        value = self._lpips(*(frame.to(self._device) for frame in _pair(made, real)))
        self._lpips.reset()
        return float(value)


def _pair(made: np.ndarray, real: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return to_float(made[None]), to_float(real[None])  # (1, 3, H, W)


def _lpips(file: Path) -> Any:
    image: Any = optional("torchmetrics.image.lpip", "eval", "LPIPS")
    try:
        return image.LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
    except Exception as error:  # torch raises what the unpickler happens to
        raise InputError(f"{file}: must be torchvision's weights of AlexNet ({first_sentence(error)})") from error
