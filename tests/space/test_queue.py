"""Who may wait. A server of its own, and so a file of its own: Gradio's temporary folder is one for the process."""

from __future__ import annotations

import time

import pytest
from space_files import DRIVING, LITTLE_PICTURE, slow_frames

gradio_client = pytest.importorskip("gradio_client", reason="the app's tests need gradio: pip install gradio")

from gradio_client import Client, handle_file  # noqa: E402

from space.limits import Limits  # noqa: E402
from space.models import Models  # noqa: E402
from space.serving import serving  # noqa: E402


def animate(client: Client, longest: float):
    given = {"start": 0, "end": 0, "longest": longest}
    return client.submit(handle_file(LITTLE_PICTURE), handle_file(DRIVING), **given, api_name="/animate")


def test_who_comes_when_too_many_wait_is_told_so(variant_pipeline, monkeypatch):
    slow_frames(monkeypatch)
    limits = Limits(waiting=1)
    with serving(limits, lambda limits: Models(limits, lambda: (variant_pipeline("v2"), ""))) as small:
        client = Client(small.url, ssl_verify=False, verbose=False, analytics_enabled=False)
        jobs = [animate(client, 4)]
        end = time.monotonic() + 30
        while time.monotonic() < end and not jobs[0].outputs():
            time.sleep(0.05)
        for _ in range(3):
            jobs.append(animate(client, 0.1))
            time.sleep(0.5)
        with pytest.raises(gradio_client.utils.QueueError, match="Queue is full"):
            jobs[-1].result(30)
        assert (
            small.handlers.runs.stop(client.session_hash) >= 1
        )  # Gradio's client asks for /cancel in the same full queue
        assert "Stopped" in jobs[0].result(30)[-1]
