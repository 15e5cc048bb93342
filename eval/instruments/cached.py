"""Detectors and embedders that look at each image once, and keep what they find in real frames for other runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from motion_core.atomic import atomic_path
from motion_core.errors import InputError
from motion_core.media import to_float, to_uint8

from . import IdentityEmbedder, LandmarkDetector


def resized(image: np.ndarray, side: int | None) -> np.ndarray:
    """An image ``(H, W, 3)`` uint8 with its longer side brought to `side` (bicubic, without aliasing); None leaves it."""
    longer = max(image.shape[:2])
    if side is None or longer == side:
        return image
    size = [max(1, round(length * side / longer)) for length in image.shape[:2]]
    pixels = F.interpolate(to_float(image[None]), size=size, mode="bicubic", antialias=True, align_corners=False)
    return to_uint8(pixels)[0]


class CachedDetector:
    """A `LandmarkDetector` in front of another one; landmarks are in pixels of the image that was given.

    Args:
        detector: the one that finds them.
        side: the longer side that images are resized to for it; None leaves them.
        folder: of files with the answers that are kept; None keeps them in memory only.

    Raises:
        InputError: a side below 1.
    """

    def __init__(self, detector: LandmarkDetector, side: int | None = None, folder: Path | None = None) -> None:
        self.name, self.version, self.joints = detector.name, detector.version, detector.joints
        self._answers = _Answers(detector.landmarks, f"landmarks {detector.name} {detector.version}", side, folder)

    def landmarks(self, image: np.ndarray, keep: bool = False) -> np.ndarray:
        """See `eval.instruments.LandmarkDetector`; `keep` is for real frames, which other runs will ask for again."""
        points, (height, width) = self._answers(image, keep)  # (J, 2)
        scale = np.array([image.shape[1] / width, image.shape[0] / height])  # (x, y)
        return (points + 0.5) * scale - 0.5  # (0, 0) is the middle of the first pixel


class CachedEmbedder:
    """The same for an `IdentityEmbedder`."""

    def __init__(self, embedder: IdentityEmbedder, side: int | None = None, folder: Path | None = None) -> None:
        self.name, self.version = embedder.name, embedder.version

        def embed(image: np.ndarray) -> np.ndarray:
            embedding = embedder.embed(image)
            return np.zeros(0) if embedding is None else embedding

        self._answers = _Answers(embed, f"identity {embedder.name} {embedder.version}", side, folder)

    def embed(self, image: np.ndarray, keep: bool = False) -> np.ndarray | None:
        """See `eval.instruments.IdentityEmbedder`; `keep` is for real frames."""
        embedding, _ = self._answers(image, keep)
        return embedding if embedding.size else None


class _Answers:
    """The results of a function of resized images, by their bytes; in memory, and in files what is to be kept.

    joblib.Memory is no substitute: its key would hold the network, and it writes every result.
    """

    def __init__(
        self, compute: Callable[[np.ndarray], np.ndarray], key: str, side: int | None, folder: Path | None
    ) -> None:
        if side is not None and side < 1:
            raise InputError(f"detector_size must be 1 pixel or more, got {side}")
        self._compute, self._side = compute, side
        self._folder = None if folder is None else folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, image: np.ndarray, keep: bool) -> tuple[np.ndarray, tuple[int, ...]]:
        """The result, and the size (h, w) that the image had for it."""
        image = resized(image, self._side)
        digest = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
        if digest not in self._known:
            file = self._folder / f"{digest}.npy" if keep and self._folder is not None else None
            self._known[digest] = self._compute(image) if file is None else self._kept(file, image)
        return self._known[digest], image.shape[:2]

    def _kept(self, file: Path, image: np.ndarray) -> np.ndarray:
        """The result that is in a file, or is put there."""
        if file.is_file():
            try:
                return np.asarray(np.load(file, allow_pickle=False))
            except (OSError, ValueError, EOFError) as error:
                raise InputError(f"{file}: cannot be read, delete it and it is made again ({error})") from error
        answer = self._compute(image)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as partial:
                np.save(partial, answer, allow_pickle=False)
        except OSError as error:
            raise InputError(f"{file}: cannot be written ({error.strerror})") from error
        return answer
