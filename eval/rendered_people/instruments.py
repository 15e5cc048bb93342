"""The benchmark's own instruments: a detector of the 18 joints and an embedder of who is to be seen, small networks trained on
rendered people.

Nothing but the shipped weights is needed. The detector is for the benchmark's pictures and what models make of them, not for
photographs. The embedder sees the whole picture and always answers; it knows people by what the benchmark draws at random: build,
skin, hair, clothes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from motion_core.errors import InputError, first_sentence
from motion_core.framing import picture_points, place_in, to_network
from motion_core.media import to_float

from .skeleton import JOINTS

SHIPPED = Path(__file__).resolve().parent.parent / "weights"


def save_instrument(network: torch.nn.Module, path: Path, about: Mapping[str, object]) -> None:
    """Write the weights to `path`, floats in half precision, and what is known about them to the .json beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in state.items()}))
    path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load_instrument(network: torch.nn.Module, shipped: str, argument: str | None, device: str) -> str:
    """Load what `save_instrument` wrote, for use on a device; return its digest.

    Args:
        shipped: the name of the file in the package.
        argument: a file of weights of one's own training; None takes the shipped one.

    Raises:
        InputError: the file is not there, damaged, of another network, or has values that are not finite.
    """
    path = SHIPPED / shipped if argument is None else Path(argument)
    if not path.is_file():
        raise InputError(
            f"benchmark:FILE: there is no file {path}; python -m eval.rendered_people.train_instruments makes such files"
        )
    try:
        state = load_file(path)
        network.load_state_dict(state)
    except Exception as error:  # safetensors and torch raise what they like for a wrong file
        raise InputError(f"{path}: must be weights of {type(network).__name__} ({first_sentence(error)})") from error
    strange = next((name for name, tensor in state.items() if not torch.isfinite(tensor).all()), None)
    if strange is not None:
        raise InputError(f"{path}: must have finite weights, but {strange} has others")
    network.eval().to(device)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


SIDE, STRIDE = 128, 4  # of the network's image, and of a heatmap's cell, in pixels
CONFIDENCE = 0.6  # below it a joint is not found; at 0.5, more than half of the limbs taken out of a picture were
JOINT_WEIGHTS = "benchmark_joints.safetensors"
_REACH = 2  # cells around the peak that its sub-pixel place is the mean of


def layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class JointNetwork(nn.Module):
    """A small U-Net: images ``(B, 3, 128, 128)`` in [0, 1] to two maps a joint at a quarter of the size.

    Args:
        widths: channels at a half, a quarter, an eighth and a sixteenth of the size.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 96, 128)) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.start = layer(3, half, 2)
        self.quarter = nn.Sequential(layer(half, quarter, 2), layer(quarter, quarter))
        self.eighth = nn.Sequential(layer(quarter, eighth, 2), layer(eighth, eighth))
        # Whether a limb is the left one may be told from the face.
        deep = [layer(sixteenth, sixteenth) for _ in range(3)]
        self.sixteenth = nn.Sequential(layer(eighth, sixteenth, 2), *deep)
        self.from_sixteenth, self.at_eighth = nn.Conv2d(sixteenth, eighth, 1), layer(eighth, eighth)
        self.from_eighth, self.at_quarter = nn.Conv2d(eighth, quarter, 1), layer(quarter, quarter)
        self.place = nn.Conv2d(quarter, len(JOINTS), 1)
        self.evidence = nn.Sequential(layer(quarter, half), nn.Conv2d(half, len(JOINTS), 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Where each joint would be, and whether it is seen there.

        Returns:
            ``(B, 18, 32, 32)`` logits of its place, and ``(B, 18)`` logits of its being seen there.
        """
        quarter = self.quarter(self.start(images - 0.5))  # (B, 48, 32, 32)
        eighth = self.eighth(quarter)  # (B, 96, 16, 16)
        sixteenth = self.sixteenth(eighth)  # (B, 128, 8, 8)
        eighth = self.at_eighth(eighth + F.interpolate(self.from_sixteenth(sixteenth), scale_factor=2.0))
        quarter = self.at_quarter(quarter + F.interpolate(self.from_eighth(eighth), scale_factor=2.0))
        place, evidence = self.place(quarter).float(), self.evidence(quarter).float()  # (B, 18, 32, 32) each
        # Evidence counts where the joint would be; it must not move that place.
        where = place.detach().flatten(2).softmax(-1)  # (B, 18, 1024)
        return place, (where * evidence.flatten(2)).sum(-1)


def peaks(place: Tensor) -> Tensor:
    """The joints' sub-pixel places: the mean of the distribution within `_REACH` cells of its highest cell.

    Args:
        place: ``(B, J, h, w)`` logits.

    Returns:
        ``(B, J, 2)``, (x, y) in pixels of the network's image, the middle of the first pixel at (0, 0).

    Example:
        >>> place = torch.full((1, 1, 32, 32), -30.0)
        >>> place[0, 0, 5, 8:10] = 0.0
        >>> peaks(place)[0, 0].tolist()
        [35.5, 21.5]
    """
    width = place.shape[-1]
    highest = place.flatten(2).argmax(-1)  # (B, J)
    row, column = highest // width, highest % width
    rows, columns = (torch.arange(n, device=place.device) for n in place.shape[-2:])
    near_row = (rows - row[..., None]).abs() <= _REACH  # (B, J, h)
    near_column = (columns - column[..., None]).abs() <= _REACH  # (B, J, w)
    near = near_row[..., :, None] & near_column[..., None, :]  # (B, J, h, w)
    share = place.masked_fill(~near, -torch.inf).flatten(2).softmax(-1).view_as(place)
    x, y = (share.sum(-2) * columns).sum(-1), (share.sum(-1) * rows).sum(-1)  # (B, J)
    return (torch.stack((x, y), -1) + 0.5) * STRIDE - 0.5


class JointDetector:
    """``benchmark`` or ``benchmark:FILE``: the 18 joints of the one person in a picture; one that is hidden is not found.

    Arguments and errors are those of `load_instrument`.
    """

    name, joints = "benchmark", len(JOINTS)

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        self._network, self._device = JointNetwork(), device
        weights = load_instrument(self._network, JOINT_WEIGHTS, argument, device)
        self.version = f"joints of the rendered benchmark, weights {weights}, confidence {CONFIDENCE}"

    @torch.inference_mode()
    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.instruments.LandmarkDetector`."""
        height, width = image.shape[:2]
        placement = place_in((height, width), (SIDE, SIDE))
        place, seen = self._network(to_network(to_float(image[None]), placement).to(self._device))
        points = peaks(place)[0].double().cpu()  # (18, 2)
        shares = (picture_points(2 * points / (SIDE - 1) - 1, placement).numpy() + 1) / 2
        found = shares * (np.array([width, height]) - 1)
        return np.where(seen[0].sigmoid().cpu().numpy()[:, None] >= CONFIDENCE, found, np.nan)


IDENTITY_WEIGHTS = "benchmark_identity.safetensors"
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

    Arguments and errors are those of `load_instrument`.
    """

    name = "benchmark"

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        self._network, self._device = IdentityNetwork(), device
        weights = load_instrument(self._network, IDENTITY_WEIGHTS, argument, device)
        self.version = f"people of the rendered benchmark, weights {weights}"

    @torch.inference_mode()
    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """See `eval.instruments.IdentityEmbedder`; never None."""
        placement = place_in((image.shape[0], image.shape[1]), (SIDE, SIDE))
        pixels = to_network(to_float(image[None]), placement)  # (1, 3, 128, 128)
        return self._network(pixels.to(self._device))[0].double().cpu().numpy()
