"""Frames at training size: decoded when first used, kept in bounded memory."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from motion_core.errors import InputError
from motion_core.framing import Size, place_in, to_network
from motion_core.media import FrameReader, to_float
from motion_core.settings import Fit


class BrokenFrameError(InputError):
    """A frame that cannot be decoded; the message names the file.

    A data loader makes an error of its worker anew, from the text of the traceback; only its sentence is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.strip().rsplit("BrokenFrameError: ", 1)[-1])


class FrameCache:
    """Frames (3, H, W) uint8 by (video, frame number), the least recently used first out; functools counts entries, not bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._frames: OrderedDict[tuple[int, int], Tensor] = OrderedDict()

    @property
    def free(self) -> int:
        """Bytes that can be added before a frame goes out."""
        return self._limit - self._used

    def get(self, key: tuple[int, int]) -> Tensor | None:
        frame = self._frames.get(key)
        if frame is not None:
            self._frames.move_to_end(key)
        return frame

    def put(self, key: tuple[int, int], frame: Tensor) -> None:
        if key in self._frames or frame.nbytes > self._limit:
            return
        while frame.nbytes > self.free:
            self._used -= self._frames.popitem(last=False)[1].nbytes
        self._frames[key] = frame
        self._used += frame.nbytes


class FrameStore:
    """Frames of several videos, each brought to one size.

    Every process has a cache of its own: `cache_mb` (2**20 bytes) is for all workers of a data loader together. Where a
    frame depends on those before it, a video is decoded whole when it is first used, as long as all of it still fits;
    afterwards only the frames that are asked for are decoded. Without `whole_videos` it is so from the start, which is
    right where the same few frames are asked for again and again.
    """

    def __init__(
        self, videos: Sequence[FrameReader], size: Size, fit: Fit, cache_mb: float, whole_videos: bool = True
    ) -> None:
        self.videos, self._whole_videos = videos, whole_videos
        self._size, self._fit, self._bytes = size, fit, int(cache_mb * 2**20)
        self._cache: tuple[int, FrameCache] | None = None  # with the process it belongs to
        self._damaged: set[int] = set()  # videos in which damage was met

    def frames(self, video: int, numbers: Sequence[int]) -> list[Tensor]:
        """Return the frames (3, H, W) uint8 of a video, in the order of `numbers`.

        Raises:
            BrokenFrameError: one of them cannot be decoded.
        """
        cache = self._own_cache()
        found = {number: frame for number in numbers if (frame := cache.get((video, number))) is not None}
        missing = set(numbers) - set(found)
        if missing:
            wanted = self._worth_decoding(video, missing, cache)
            try:
                found |= self._read(video, wanted, missing, cache)
            except BrokenFrameError:
                if wanted is missing:
                    raise
                self._damaged.add(video)  # somewhere: only what is needed of it is decoded from now on
                found |= self._read(video, missing, missing, cache)
        return [found[number] for number in numbers]

    def _read(self, video: int, wanted: Iterable[int], missing: set[int], cache: FrameCache) -> dict[int, Tensor]:
        """Decode and keep `wanted`, and return those of them that are `missing`, (3, H, W) uint8."""
        found = {}
        for number, decoded in self._decoded(video, wanted):
            cache.put((video, number), decoded)
            if number in missing:
                found[number] = decoded
        return found

    def _worth_decoding(self, video: int, missing: set[int], cache: FrameCache) -> Iterable[int]:
        access = self.videos[video]
        fits = access.count * 3 * self._size[0] * self._size[1] <= cache.free
        whole = self._whole_videos and fits and not access.independent and video not in self._damaged
        return range(access.count) if whole else missing

    def _decoded(self, video: int, numbers: Iterable[int]) -> Iterable[tuple[int, Tensor]]:
        access = self.videos[video]
        try:
            for number, pixels in access.frames_at(numbers):
                yield number, self._resized(pixels)
        except (InputError, OSError) as error:
            message = str(error) if isinstance(error, InputError) else f"{access.path}: cannot be read: {error}"
            raise BrokenFrameError(message) from error

    def _resized(self, pixels: np.ndarray) -> Tensor:
        """(h, w, 3) uint8 to (3, H, W) uint8."""
        size = (pixels.shape[0], pixels.shape[1])
        if size == self._size:
            return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))  # (3, H, W)
        image = to_network(to_float(pixels[None]), place_in(size, self._size, self._fit))  # (1, 3, H, W)
        return image[0].mul(255).round().to(torch.uint8)

    def _own_cache(self) -> FrameCache:
        if self._cache is None or self._cache[0] != os.getpid():
            worker = get_worker_info()
            self._cache = (os.getpid(), FrameCache(self._bytes // (worker.num_workers if worker else 1)))
        return self._cache[1]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_cache": None}
