"""The app as a person uses it, in a real browser: Debian's Chromium, or the one that playwright has installed.

Screenshots of every tab go to the folder that MOTION_CORE_SCREENSHOTS names, if it does.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from space_files import DRIVING, PICTURE, SILENT, bad_pictures, bad_videos

pytest.importorskip("gradio", reason="the app's tests need gradio: pip install gradio")
pytest.importorskip("playwright", reason='the browser tests need playwright: pip install -e ".[browser]"')

from live_speed import FAKE_CAMERA, camera_film, start_live
from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, expect, sync_playwright

from motion_core import media
from space.limits import Limits
from space.serving import serving
from space.showcase import EXAMPLES as EXAMPLES_FOLDER
from space.showcase import read_examples, read_gallery

pytestmark = pytest.mark.slow
TABS = ("Animate", "Live", "Interpolate", "Gallery", "Compare", "Models")
EXAMPLES = read_examples()
PAIRS = [piece.shown.title for piece in read_gallery().pieces if piece.kind == "animation"]
DANCING = next(title for title in PAIRS if title.endswith("dancing, with a beat"))
FROM_TO = ", to: ".join(item.title for item in EXAMPLES.same[0])
Scheme = Literal["light", "dark"]
PATIENCE = 60_000  # milliseconds; the machine may be busy
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def served():
    """The app as it ships: its own model, examples and gallery."""
    with serving(Limits()) as server:
        server.service.result(60).model()
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, whose camera shows somebody who dances; the tests skip where there is none."""
    film = camera_film(tmp_path_factory.mktemp("camera") / "camera.y4m", Path(DRIVING))
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=[*FAKE_CAMERA, film])
        except Error as error:
            pytest.skip(f"no browser: apt-get install chromium, or playwright install chromium ({error.message[:80]})")
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def window(browser: Browser):
    """Pages of it share what the browser has loaded once."""
    window = window_of(browser, 1280, "light")
    yield window
    window.close()


@pytest.fixture
def page(window: BrowserContext, served):
    """The app on a page of its own, which asks nobody outside for anything."""
    page, outside = opened(window, served.url)
    yield page
    page.close()
    assert outside == []


@pytest.fixture(scope="module")
def visits() -> list[Visit]:
    """The page that tests share, once there is one."""
    return []


@pytest.fixture
def shared(request: pytest.FixtureRequest, window: BrowserContext, served, visits: list[Visit]):
    """The app on a page that tests before have used and left in order, or on a new one after a failure; at its first tab."""
    failures = request.session.testsfailed
    if visits and visits[-1].failures != failures:
        visits.pop().page.close()
    if not visits:
        visits.append(Visit(*opened(window, served.url), failures))
    go_to(visits[-1].page, "Animate")
    yield visits[-1].page
    assert visits[-1].outside == []


@dataclass(frozen=True)
class Visit:
    """A page, the addresses outside that it has asked for, and how many tests had failed when it was opened."""

    page: Page
    outside: list[str]
    failures: int


def window_of(browser: Browser, width: int, scheme: Scheme) -> BrowserContext:
    window = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    window.set_default_timeout(PATIENCE)
    return window


def opened(window: BrowserContext, url: str) -> tuple[Page, list[str]]:
    page = window.new_page()
    outside: list[str] = []
    page.on(
        "request",
        lambda request: None if request.url.startswith((url, "data:", "blob:")) else outside.append(request.url),
    )
    page.goto(url)
    expect(page.locator(".mc-banner")).to_be_visible()
    return page, outside


def go_to(page: Page, name: str) -> None:
    """Open a tab; narrow windows have the last ones in a menu."""
    tab = page.locator("[role=tab]:visible", has_text=name)
    if not tab.count():
        page.get_by_label("More tabs").click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.click()
    settle(page)


def unfold(page: Page, name: str) -> None:
    """Open a part of the page, if it is not open."""
    button = page.get_by_role("button", name=name).locator("visible=true")
    if "open" not in (button.get_attribute("class") or "").split():
        button.click()
        settle(page)


def settle(page: Page) -> None:
    """Wait as a person does: Gradio sets the values of parts again just after it has shown them, over what was typed by then."""
    page.evaluate("() => new Promise(done => setTimeout(() => requestIdleCallback(done), 200))")


def shorten(page: Page, seconds: str) -> None:
    """Use little of the video, which is enough to see something."""
    unfold(page, "Options")
    page.get_by_label("number input for Use at most (seconds)").locator("visible=true").fill(seconds)


def picture_of(page: Page, name: str) -> None:
    """Keep a screenshot of the whole page, where somebody wants to look at it."""
    if folder := os.environ.get("MOTION_CORE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def status(page: Page, tab: str = "animate"):
    return page.locator(f"#{tab}-status")


def test_one_click_animates_an_example_and_the_result_plays(page: Page):
    expect(page.locator("#animate-check line")).to_have_count(20)  # the limbs of two people
    expect(page.locator("#animate-check")).to_contain_text("There is a person in the picture and in the video")
    shorten(page, "1")
    expect(page.get_by_text("1.0 s of it is used: 25 frames")).to_be_visible()
    page.get_by_role("button", name=DANCING).locator("visible=true").click()
    expect(status(page)).to_contain_text(re.compile(r"\d+ of 25 frames"))
    expect(status(page).locator("img")).to_have_attribute("alt", re.compile("The newest frame"))
    expect(status(page)).to_contain_text("Done: 25 frames. 448 x 448")
    video = page.locator("#animate-result video")
    page.wait_for_function("() => document.querySelector('#animate-result video')?.duration > 0")
    assert video.evaluate("video => video.duration") == pytest.approx(1.0, abs=0.1)
    video.evaluate("video => { video.muted = true; return video.play() }")
    page.wait_for_function("() => document.querySelector('#animate-result video').currentTime > 0")
    expect(page.locator("#animate-diagnosis")).to_contain_text("taken from your picture")
    expect(page.locator("#animate-how img")).to_have_count(4)
    expect(page.locator(".mc-timeline")).to_have_attribute("aria-label", re.compile("from the picture's over 1.0 s"))
    expect(page.locator("#animate-files")).to_contain_text(re.compile(r"black-top-dancing\s*\.mp4"))
    page.locator("#animate-gif").click()
    expect(page.locator("#animate-files")).to_contain_text(re.compile(r"black-top-dancing\s*\.gif"))
    expect(page.locator("#animate-go")).to_be_enabled()
    picture_of(page, "animated")
    page.get_by_label("Clear").locator("visible=true").last.click()
    expect(video).not_to_be_visible()  # it belongs to inputs that are gone


def test_a_huge_picture_is_refused_with_a_message_in_place_of_the_broken_video_s(page: Page, tmp_path: Path):
    text, words = bad_videos(tmp_path)["text as mp4"]
    page.get_by_label("Clear").locator("visible=true").last.click()
    page.locator("input[type=file][accept*=video]").first.set_input_files(text)
    expect(page.locator("#animate-warning")).to_contain_text(words)
    huge, words = bad_pictures(tmp_path)["100 megapixels"]
    page.get_by_label(re.compile("Remove|Clear")).locator("visible=true").first.click()
    page.locator("input[type=file][accept*=image]").first.set_input_files(huge)
    expect(page.locator("#animate-warning")).to_contain_text(words)


def test_a_camera_s_recording_is_a_driving_video(page: Page):
    page.get_by_label("Clear").locator("visible=true").last.click()
    page.get_by_label("Capture from camera").locator("visible=true").last.click()
    page.get_by_text("Click to Access Webcam").locator("visible=true").click()
    record = page.get_by_role("button", name="start recording")
    record.click()
    page.wait_for_timeout(700)
    record.click()
    expect(page.locator("#animate-check")).to_contain_text("There is a person in the picture")
    page.locator("#animate-go").click()
    expect(status(page)).to_contain_text("Done:")


def test_a_picture_moves_with_the_camera(window: BrowserContext, served):
    page = window.new_page()
    start_live(page, served.url)
    told, shown = page.locator("#live-shown .told"), page.locator("#live-shown img")
    before = shown.get_attribute("src")
    expect(shown).not_to_have_attribute("src", before or "")
    expect(told).to_have_text(re.compile(r"[\d.]+ frames/s, latency \d+ ms"))
    picture_of(page, "live")
    page.locator("#live-stop").click()
    page.wait_for_function(
        "async () => { const src = () => document.querySelector('#live-shown img').src; "
        "const before = src(); await new Promise(done => setTimeout(done, 2000)); return src() === before }"
    )
    page.close()


def test_a_page_that_is_closed_stops_its_run(window: BrowserContext, served):
    page, _ = opened(window, served.url)
    page.locator("#animate-go").click()
    expect(status(page)).to_contain_text(re.compile(r"[1-9]\d* of 50 frames"))
    page.close()
    deadline = time.monotonic() + 10
    while len(served.handlers.runs) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(served.handlers.runs) == 0


# Whether a scheme's colours are there, and none is on its way.
COLOURED = """dark => document.body.classList.contains('dark') === dark &&
  !document.getAnimations().some(each => each instanceof CSSTransition && each.playState === 'running')"""

# Texts in sight whose colour is too near to that of what they stand on, as WCAG 2 counts it for small letters. What cannot be
# used at the moment may be pale.
CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const known = {};
  const rgba = color => known[color] ??= read(color);
  const read = color => {  // any way to write a colour
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => [[r, 0.2126], [g, 0.7152], [b, 0.0722]].reduce((sum, [value, share]) => {
    const c = value / 255; return sum + share * (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); }, 0);
  const behind = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const color = rgba(getComputedStyle(each).backgroundColor); layers.push(color); if (color[3] > 0.99) break;
    }
    return layers.reverse().reduce((under, [r, g, b, a]) => [r, g, b].map((c, i) => a * c + (1 - a) * under[i]), [255, 255, 255]);
  };
  const bad = [];
  for (const element of document.querySelectorAll('body *')) {
    const words = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join(' ').trim();
    if (!words || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (element.closest('[disabled], svg, .sr-only')) continue;
    const color = rgba(getComputedStyle(element).color), under = behind(element);
    const over = color.slice(0, 3).map((c, i) => color[3] * c + (1 - color[3]) * under[i]);
    const [high, low] = [light(over), light(under)].sort((a, b) => b - a), ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) bad.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


@pytest.mark.parametrize(("width", "first", "other"), [(1280, "light", "dark"), (390, "dark", "light")])
def test_every_tab_fits_its_window(browser: Browser, served, width: int, first: Scheme, other: Scheme):
    """And has texts for its pictures, in colours that can be read."""
    window = window_of(browser, width, first)
    page, outside = opened(window, served.url)
    for tab in TABS:
        go_to(page, tab)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        assert page.locator("[role=tab]:visible").count() == len(TABS)  # none is behind a menu
        for button in ("Animate", "Interpolate", "Compare", "Load"):
            found = page.get_by_role("button", name=button, exact=True).locator("visible=true")
            if found.count():
                assert found.bounding_box()["y"] < 860, (tab, button)  # above the fold
        assert page.locator("img:visible:not([alt])").count() == 0, tab
        for image in page.locator("img:visible[alt='']").all():  # only inside of something that has a name
            assert image.evaluate("image => Boolean(image.closest('[aria-label]'))"), tab
        for scheme in (first, other):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(COLOURED, arg=scheme == "dark")
            picture_of(page, f"{tab.lower()}-{width}-{scheme}")
            assert page.evaluate(CONTRASTS) == [], (tab, scheme)
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness = sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
            assert brightness < 60 if scheme == "dark" else brightness > 200
    assert outside == []
    window.close()


def test_all_can_be_reached_with_the_keyboard(shared: Page):
    """Tab goes through the examples, the inputs and the buttons; Enter on an example takes it."""
    shared.locator("[role=tab]").first.focus()
    reached = []
    for _ in range(60):
        shared.keyboard.press("Tab")
        reached.append(
            shared.evaluate(
                "(e => e.id || e.getAttribute('aria-label') || e.textContent.trim())(document.activeElement)"
            )
        )
        if reached[-1] == "animate-go":
            break
    assert "animate-go" in reached
    assert set(PAIRS) <= set(reached)
    assert any("Strength" in name for name in reached)
    shared.get_by_role("button", name=DANCING).locator("visible=true").focus()
    shared.keyboard.press("Enter")
    expect(status(shared)).to_contain_text("of 50 frames")
    shared.locator("#animate-stop").click()
    expect(shared.locator("#animate-go")).to_be_enabled()


def test_a_run_is_stopped(shared: Page):
    shared.locator("#animate-go").click()
    expect(status(shared)).not_to_contain_text("Stopped")  # which is about the run before
    expect(status(shared)).to_contain_text(re.compile(r"[1-9]\d* of 50 frames"))
    expect(shared.locator("#animate-go")).to_be_disabled()
    shared.locator("#animate-stop").click()
    expect(status(shared)).to_contain_text(re.compile(r"Stopped after \d+ of 50 frames"), timeout=15_000)
    expect(shared.locator("#animate-go")).to_be_enabled()  # which is after the run has cleared up


def test_a_gif_is_a_driving_video(shared: Page, tmp_path: Path):
    frames = [Image.fromarray(frame) for frame in list(media.open_video(SILENT))[:10]]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:], duration=40)
    shared.locator("input[type=file][accept*=gif]").first.set_input_files(tmp_path / "moves.gif")
    expect(shared.locator("#animate-check")).to_contain_text("0.4 s, 256 x 256 pixels, without sound")


def drag(page: Page, svg: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag on a picture between two places (x, y), as shares of it."""
    svg.scroll_into_view_if_needed()
    place = svg.bounding_box()
    assert place is not None
    for step, (x, y) in (("down", start), ("up", end)):
        page.mouse.move(place["x"] + x * place["width"], place["y"] + y * place["height"], steps=4)
        getattr(page.mouse, step)()


def test_a_part_is_drawn_moved_and_scaled_on_the_check_s_picture(shared: Page):
    svg, part = shared.locator("#animate-check svg.found").first, shared.get_by_label("Part of the picture")
    unfold(shared, "Options")
    unfold(shared, "Crop and person, in numbers")

    before = ""
    for start, end, seen in (
        ((0.3, 0.1), (0.7, 0.9), (0.1, 0.3, 0.8, 0.4)),
        ((0.5, 0.5), (0.6, 0.55), (0.15, 0.4, 0.8, 0.4)),  # from within: moved
        ((0.4, 0.15), (0.2, 0.05), (0.05, 0.2, 0.9, 0.6)),  # at a corner: scaled
    ):
        drag(shared, svg, start, end)
        expect(part).not_to_have_value(before)
        before = part.input_value()
        numbers = [float(number) for number in before.split(",")]
        assert numbers == pytest.approx(seen, abs=0.01)
        expect(svg.locator("rect.box")).to_have_attribute("x", f"{numbers[1] * 448:.1f}")  # it is drawn anew
    shared.get_by_role("button", name="Use all of both").click()
    expect(part).to_have_value("")


def test_t_is_shown_where_an_interpolated_image_is_animated(shared: Page):
    unfold(shared, "Options")
    unfold(shared, "Interpolated image")
    t = shared.get_by_label("number input for Moment t of the interpolated image").locator("visible=true")
    expect(shared.get_by_label("The picture itself")).to_be_checked()
    expect(shared.get_by_label("The model chooses")).to_have_count(0)  # its selector is not trained
    expect(t).to_have_count(0)
    shared.get_by_label("An interpolated image, at a moment t").check()
    expect(t).to_have_count(1)
    shared.get_by_label("The picture itself").check()
    expect(t).to_have_count(0)


def test_of_several_people_the_one_is_animated_who_is_clicked(shared: Page, tmp_path: Path):
    pictures = [Image.open(path).convert("RGB") for path in (EXAMPLES_FOLDER / "black-top.png", PICTURE)]
    both = Image.new("RGB", (896, 448))
    for index, picture in enumerate(pictures):
        both.paste(picture, (448 * index, 0))
    both.save(tmp_path / "two.png")
    shared.get_by_label(re.compile("Remove|Clear")).locator("visible=true").first.click()
    shared.locator("input[type=file][accept*=image]").first.set_input_files(tmp_path / "two.png")
    svg = shared.locator("#animate-check svg.found[viewBox='0 0 512 256']")
    place = svg.bounding_box()
    assert place is not None
    for side in (0.25, 0.75):
        svg.click(position={"x": side * place["width"], "y": place["height"] / 2})
        shared.wait_for_function(
            "([low, high]) => { const ends = [...document.querySelectorAll('#animate-check svg.found')[0]"
            ".querySelectorAll('line')].map(line => line.getAttribute('x1') / 512); "
            "return ends.length === 10 && ends.every(x => low < x && x < high) }",
            arg=[side - 0.25, side + 0.25],
        )


def test_what_cannot_work_is_said_before_the_run(shared: Page, tmp_path: Path):
    black = tmp_path / "black.png"
    Image.new("RGB", (320, 320)).save(black)
    shared.get_by_label(re.compile("Remove|Clear")).locator("visible=true").first.click()
    shared.locator("input[type=file][accept*=image]").first.set_input_files(black)
    expect(shared.locator("#animate-check .fails")).to_contain_text("nobody is found in it")
    expect(shared.locator("#animate-warning")).to_contain_text("nobody is found in it")
    bust = tmp_path / "bust.png"
    Image.open(EXAMPLES_FOLDER / "black-top.png").crop((204, 10, 358, 152)).save(bust)
    shared.get_by_label(re.compile("Remove|Clear")).locator("visible=true").first.click()
    expect(shared.locator("#animate-warning")).to_be_hidden()
    shared.locator("input[type=file][accept*=image]").first.set_input_files(bust)
    expect(shared.locator("#animate-warning")).to_contain_text(
        "must show a person with both shoulders and a hip in sight"
    )
    expect(shared.locator("#animate-check svg.found").first.locator("line")).to_have_count(10)


def test_a_broken_video_is_refused_with_a_message(shared: Page, tmp_path: Path):
    text, words = bad_videos(tmp_path)["text as mp4"]
    shared.get_by_label("Clear").locator("visible=true").last.click()
    shared.locator("input[type=file][accept*=video]").first.set_input_files(text)
    expect(shared.locator("#animate-warning")).to_contain_text(words)
    picture_of(shared, "refused")


def test_a_model_that_is_not_there_is_refused_with_a_message(shared: Page):
    go_to(shared, "Models")
    shared.get_by_label("A folder on the computer that runs this app").check()
    shared.get_by_label("Folder, or name on the Hub").fill("/nowhere")
    shared.locator("#models-load").click()
    expect(shared.get_by_text("there is no such folder")).to_be_visible()
    shared.get_by_label("The model that comes with this app").check()
    shared.locator("#models-load").click()
    expect(shared.locator("#models-about")).to_contain_text("variant v2")


def test_compare_has_a_slider_between_the_videos(shared: Page):
    go_to(shared, "Compare")
    shorten(shared, "0.4")
    shared.locator("#compare-go").click()
    expect(shared.locator("#compare-wipe video")).to_have_count(2)
    slider = shared.locator("#compare-wipe input[type=range]")
    slider.focus()
    shared.keyboard.press("End")
    assert shared.locator(".mc-wipe").evaluate("wipe => wipe.style.getPropertyValue('--cut')") == "100%"
    shared.locator("#compare-wipe button").click()
    expect(shared.locator("#compare-wipe button")).to_have_text("Play")
    picture_of(shared, "compared")


def test_two_pictures_are_interpolated_and_the_slider_shows_any_moment(shared: Page):
    go_to(shared, "Interpolate")
    shared.get_by_role("button", name=FROM_TO).click()
    shared.locator("#interpolate-go").click()
    moment = shared.locator("#interpolate-moment img")
    expect(moment).to_be_visible()
    before = moment.get_attribute("src")
    slider = shared.locator("#interpolate-t input[type=range]")
    slider.focus()
    for _ in range(20):
        shared.keyboard.press("ArrowRight")
    expect(moment).not_to_have_attribute("src", before or "")
    shared.get_by_role("button", name="Body points and their paths").click()
    expect(shared.locator(".mc-keypoints")).to_have_attribute("aria-label", re.compile("groups of 5 body points"))
    shared.get_by_role("button", name="What the networks see").click()
    shared.get_by_role("button", name="Export").first.click()
    shared.locator("#interpolate-export").click()
    expect(shared.get_by_role("row", name=re.compile("interpolated.gif"))).to_be_visible()
    picture_of(shared, "interpolated")


def test_the_gallery_plays_and_opens_in_its_tab(shared: Page):
    go_to(shared, "Gallery")
    shared.wait_for_function("() => document.querySelector('.mc-wall video').currentTime > 0")
    shared.locator(".mc-wall button").last.click()
    expect(shared.locator("#interpolate-go")).to_be_visible()
    go_to(shared, "Gallery")
    shared.get_by_role("button", name=DANCING).locator("visible=true").click()
    expect(shared.locator("#animate-go")).to_be_visible()
    expect(shared.get_by_text("with sound; all of it is used: 50 frames")).to_be_visible()  # its driving video
