"""Prints how long after a click on an example its first picture is there, and its result, a video of 2 s, in Chromium.

python tests/space/example_speed.py [times]
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
from pathlib import Path
from time import perf_counter

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))
from space.limits import Limits
from space.serving import serving
from space.showcase import read_gallery


def clicked(browser: Browser, url: str, title: str) -> tuple[float, float, float]:
    """Seconds from the click to the first picture, to the video, and to all that is said of it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.locator("#animate-check svg").first.wait_for(timeout=120_000)  # what the page does by itself is over
    status, video = page.locator("#animate-status"), page.locator("#animate-result video")
    began = perf_counter()
    page.get_by_role("button", name=title).locator("visible=true").first.click()
    marks = []
    for awaited in (status.locator("img"), video, status.get_by_text(re.compile("^Done"))):
        awaited.wait_for(timeout=120_000)
        marks.append(perf_counter() - began)
    page.close()
    return marks[0], marks[1], marks[2]


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    title = next(piece.shown.title for piece in read_gallery().pieces if piece.kind == "animation")
    with serving(Limits()) as served, sync_playwright() as playwright:
        served.service.result(100).model()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        clicked(browser, served.url, title)  # the first one warms up
        runs = [clicked(browser, served.url, title) for _ in range(times)]
        for words, seconds in zip(("first picture", "video", "everything"), zip(*runs, strict=True), strict=True):
            print(f"{words} after {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})")
        browser.close()


if __name__ == "__main__":
    main()
