"""The benchmark's own embedder of who is to be seen: a small network trained to tell rendered people apart.

It sees the whole picture and always answers. It knows people by what the benchmark draws at random: build, skin, hair, clothes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_core.framing import place_in, to_network
from motion_core.media import to_float

from ..backends import digest, weights_file
from .instrument_files import SHIPPED, SOURCE, load_instrument
from .joint_detector import SIDE, layer

WEIGHTS = "benchmark_identity.safetensors"
NUMBERS = 64  # of an embedding


class IdentityNetwork(nn.Module):
    """Convolutions, and several looks at the picture whose places the network chooses: people fill only a part of it.

    Args:
        widths: channels at a half, a quarter, an eighth and (last) again an eighth of the size.
        looks: how many weighted means over the picture are taken.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 96, 128), looks: int = 6) -> None:
        super().__init__()
        half, quarter, eighth, last = widths
        self.features = nn.Sequential(
            layer(3, half, 2),
            layer(half, quarter, 2),
            layer(quarter, quarter),
            layer(quarter, eighth, 2),
            layer(eighth, eighth),
            layer(eighth, last),
        )
        self.looks = nn.Conv2d(last, looks, 1)
        self.embedding = nn.Linear(looks * last, NUMBERS)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, 128, 128)`` in [0, 1] to embeddings ``(B, 64)`` of length 1."""
        features = self.features(images - 0.5)  # (B, 128, 16, 16)
        where = self.looks(features).float().flatten(2).softmax(-1)  # (B, 6, 256)
        means = where @ features.float().flatten(2).mT  # (B, 6, 128)
        return F.normalize(self.embedding(means.flatten(1)).float(), dim=-1)


class IdentityEmbedder:
    """``benchmark`` or ``benchmark:FILE``: 64 numbers of length 1 for the whole picture; two are between 0 and 2 apart.

    Args:
        argument: a file of weights of one's own training; None takes the shipped one.
        device: where it runs.

    Raises:
        InputError: there is no such file, or it does not belong to the network.
    """

    name = "benchmark"

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        path = weights_file(str(SHIPPED / WEIGHTS) if argument is None else argument, "benchmark:FILE", SOURCE)
        self._network, self._device = IdentityNetwork(), device
        load_instrument(self._network, Path(path))
        self._network.eval().to(device)
        self.version = f"people of the rendered benchmark, weights {digest(path)}"

    @torch.inference_mode()
    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """See `eval.embedders.IdentityEmbedder`; never None."""
        placement = place_in((image.shape[0], image.shape[1]), (SIDE, SIDE))
        pixels = to_network(to_float(image[None]), placement)  # (1, 3, 128, 128)
        return self._network(pixels.to(self._device))[0].double().cpu().numpy()
