"""Prints what the page says of Live with Chromium's camera showing an example: frames a second and latency.

python tests/space/live_speed.py [seconds]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))
from motion_core import media
from space.limits import Limits
from space.serving import serving
from space.showcase import EXAMPLES


def camera_film(path: Path, video: Path) -> str:
    """Chromium's arguments for a camera that shows a video, which is written to `path`, a .y4m file."""
    with av.open(str(path), "w") as made:
        source = media.open_video(video)
        stream = made.add_stream("wrapped_avframe", rate=Fraction(source.frame_rate))
        stream.height, stream.width = source.size
        stream.pix_fmt = "yuv420p"
        for frame in source:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame).reformat(format="yuv420p")))
        made.mux(stream.encode(None))
    return f"--use-file-for-fake-video-capture={path}"


# Without a sandbox, since CI is root.
FAKE_CAMERA = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def start_live(page: Page, url: str) -> None:
    """Begin, and wait for the first picture."""
    page.goto(url)
    page.locator("[role=tab]:visible", has_text="Live").click()
    page.locator("#live-go").click()
    page.locator("#live-shown .told", has_text="frames/s").wait_for(timeout=120_000)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder, serving(Limits()) as served, sync_playwright() as playwright:
        served.service.result(100).model()
        film = camera_film(Path(folder) / "camera.y4m", EXAMPLES / "dancing.mp4")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FAKE_CAMERA, film])
        page = browser.new_page()
        start_live(page, served.url)
        page.wait_for_timeout(1000 * seconds)
        print(page.locator("#live-shown .told").text_content())
        browser.close()


if __name__ == "__main__":
    main()
