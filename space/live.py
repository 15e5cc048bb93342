"""Pictures that move with their visitors' cameras: the page sends frames one by one and shows what comes back."""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch

from motion_core import InputError
from motion_core.live import LivePicture
from motion_core.media.pictures import decode_frame, encode_jpeg
from motion_core.structures import Keypoints

from .workers import Workers

IDLE = 20  # seconds without a frame, after which a picture is put away
FRAME = 2_000_000  # letters of a frame as the page sends it
_QUALITY = 85  # of the JPEG that goes back
_STAGES = ("look", "compose", "paint")  # of a frame, each with a thread of its own


@dataclass
class _Session:
    picture: LivePicture
    used: float = field(default_factory=time.monotonic)


class LiveSessions:
    """The pictures at work, each known by a word that only its page has.

    Args:
        most: how many there may be at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        threads = torch.get_num_threads()
        self._stages = [Workers(f"live-{name}", 1, lambda: torch.set_num_threads(1)) for name in _STAGES]
        for stage in self._stages:
            stage.call(int)
        torch.set_num_threads(threads)  # the stages have set what new threads begin with

    def close(self) -> None:
        """Show nothing more."""
        for stage in self._stages:
            stage.close()

    def begin(self, make: Callable[[], LivePicture]) -> str:
        """The word of a new picture.

        Raises:
            InputError: too many are at work.
        """
        self._put_away_idle()
        if len(self._sessions) >= self._most:
            raise InputError(
                f"{self._most} people are live at the moment, which is all there is room for: try again soon"
            )
        word = secrets.token_urlsafe(16)
        session = _Session(make())
        with self._lock:
            self._sessions[word] = session
        return word

    def frame(self, word: str, sent: str) -> str:
        """The picture in the pose of a camera frame, both as addresses of themselves; "" for what is no frame, or nobody's."""
        session = self._sessions.get(word)
        if session is None or len(sent) > FRAME:
            return ""
        try:
            pixels = decode_frame(base64.b64decode(sent.partition(",")[2]))  # (H, W, 3)
        except ValueError:  # an InputError is one
            return ""
        session.used = time.monotonic()
        made = self._made(session.picture, pixels)
        return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(made, _QUALITY)).decode()}"

    def _made(self, picture: LivePicture, pixels: np.ndarray) -> np.ndarray:
        """The picture in the pose of a frame, while the frames after it are in the stages before; none overtakes another."""
        look, compose, paint = self._stages

        def looked() -> Future[Future[np.ndarray]]:
            return compose.submit(composed, picture.look(pixels))

        def composed(pose: Keypoints | None) -> Future[np.ndarray]:
            return paint.submit(picture.paint, picture.compose(pose))

        return look.call(looked).result().result()

    def end(self, word: str) -> None:
        """Put a picture away."""
        with self._lock:
            self._sessions.pop(word, None)

    def _put_away_idle(self) -> None:
        now = time.monotonic()
        for word in [word for word, session in self._sessions.items() if now - session.used > IDLE]:
            self.end(word)
