"""The app as a service: a real server on a free port, and clients that want different things of it at once."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from published import write_checkpoint
from space_files import (
    DRIVING,
    LITTLE_PICTURE,
    OTHER_LITTLE_PICTURE,
    PICTURE,
    SILENT,
    bad_pictures,
    bad_videos,
    slow_frames,
)

from motion_core import media

gradio_client = pytest.importorskip("gradio_client", reason="the app's tests need gradio: pip install gradio")

import gradio  # noqa: E402
import httpx  # noqa: E402  gradio brings it
from gradio_client import Client, handle_file  # noqa: E402

from motion_core.saved_pipeline import SHIPPED  # noqa: E402
from space import drawing  # noqa: E402
from space.limits import Limits  # noqa: E402
from space.models import Models  # noqa: E402
from space.serving import NO_ADDRESSES, serving  # noqa: E402

ROOT = Path(__file__).parents[2]
WEB = httpx.Client(verify=False)  # here and below: reading all certificates for each request takes a third of the time
ENDPOINTS = {
    "/animate", "/cancel", "/check", "/preview", "/describe", "/interpolate", "/moment", "/export", "/compare", "/load_model",
}  # fmt: skip


@pytest.fixture(scope="module")
def served(variant_pipeline):
    """A server whose model is small and, like the one that ships, without an AVD network."""
    pipeline = variant_pipeline("v2")
    pipeline.register_modules(avd_network=None)
    with serving(Limits(), lambda limits: Models(limits, lambda: (pipeline, ""))) as server:
        server.service.result(60).model()
        yield server


def client_of(served, folder: Path) -> Client:
    """Not closed: that would wait a second for its heartbeat, which ends with the server."""
    return Client(served.url, ssl_verify=False, verbose=False, analytics_enabled=False, download_files=str(folder))


@pytest.fixture
def connect(served, tmp_path):
    """Makes clients, each a visitor of their own."""
    numbers = itertools.count()
    return lambda: client_of(served, tmp_path / f"client{next(numbers)}")


@pytest.fixture(scope="module")
def client(served, tmp_path_factory):
    """One visitor of many tests, who stays with the first model."""
    return client_of(served, tmp_path_factory.mktemp("client"))


def animate(client: Client, picture: str = LITTLE_PICTURE, driving: str = DRIVING, **choices):
    given = {"start": 0, "end": 0, "longest": 0.08, **choices}
    return client.submit(handle_file(picture), handle_file(driving), **given, api_name="/animate")


def refused(call) -> str:
    with pytest.raises(gradio_client.exceptions.AppError) as caught:
        call()
    text = str(caught.value)
    assert "Traceback" not in text
    assert "\n" not in text
    return text


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def assert_settled(served) -> None:
    """No run and no file of one is left; a result reaches its client a moment before the run has cleared up."""
    end = time.monotonic() + 20
    while time.monotonic() < end and (len(served.handlers.runs) or left_in(served.folder / "work")):
        time.sleep(0.05)
    assert len(served.handlers.runs) == 0
    assert left_in(served.folder / "work") == []


def test_every_action_has_a_named_endpoint_with_typed_inputs(client):
    info = client.view_api(return_format="dict", print_info=False)
    assert set(info["named_endpoints"]) == ENDPOINTS
    assert info["unnamed_endpoints"] == {}
    for endpoint in info["named_endpoints"].values():
        assert all(parameter["python_type"]["type"] not in ("Any", "") for parameter in endpoint["parameters"])
    modes = next(
        given for given in info["named_endpoints"]["/animate"]["parameters"] if given["parameter_name"] == "mode"
    )
    assert modes["python_type"]["type"] == "Literal['auto', 'relative', 'pose', 'standard']"  # the shipped model's


def test_animate(client, served):
    job = animate(client, longest=0.24, selector="fixed", t=0.5)
    video, both, used, timeline, diagnosis, records, progress = job.result(60)
    about = media.open_video(video)
    assert (about.frame_count, about.has_audio) == (6, True)
    assert media.open_video(both).frame_count == 6
    captions = [
        "The picture",
        "The interpolated image, t = 0.50: used",
        "Frame [1-6] of",
        "Where the frame's",
    ]
    assert all(re.match(text, image["caption"]) for text, image in zip(captions, used, strict=True))
    assert Path(video).name == "green-sweater-dancing.mp4"
    assert timeline.startswith("<figure")
    assert "t = 0.50" in diagnosis
    assert len(json.loads(Path(records).read_text())) == 6
    assert "Done: 6 frames. 112 x 112 pixels, 25 frames a second." in progress
    assert any(re.search(r"[1-5] of 6 frames", str(output[-1])) for output in job.outputs())
    assert_settled(served)


def test_health_tells_state_and_load(served):
    answer = WEB.get(f"{served.url.rstrip('/')}/health", timeout=10)
    assert (answer.status_code, answer.json()["state"], answer.json()["runs"]) == (200, "ready", 0)


def test_a_camera_s_frames_are_answered_to_the_page_that_began_alone(served):
    handlers, frame = served.handlers, drawing.data_uri(media.load_image(OTHER_LITTLE_PICTURE))
    word = handlers.live_begin({"path": LITTLE_PICTURE}, "shipped")
    answer = handlers.live_frame(word, frame)
    assert answer.startswith("data:image/jpeg;base64,")
    assert handlers.live_frame("nobody's", frame) == handlers.live_frame(word, "no frame") == ""
    others = [handlers.live_begin({"path": LITTLE_PICTURE}, "shipped") for _ in range(served.handlers.limits.live - 1)]
    with pytest.raises(gradio.Error, match="people are live at the moment"):
        handlers.live_begin({"path": LITTLE_PICTURE}, "shipped")
    for each in (word, *others):
        handlers.live_end(each)
    assert handlers.live_frame(word, frame) == ""


def test_preview_and_describe(client):
    picture, words = client.predict(handle_file(LITTLE_PICTURE), fit="crop", crop="everything", api_name="/preview")
    assert media.load_image(picture).shape == (112, 112, 3)
    assert words == "all of the 112 x 112 picture, as 128 x 128"
    told = client.predict(handle_file(DRIVING), start=0, end=1, longest=10, api_name="/describe")
    assert told == "2.0 s, 256 x 256 pixels, with sound; 1.0 s of it is used: 25 frames."


def test_the_check_says_what_is_found_and_what_cannot_work(connect, tmp_path):
    client = connect()
    assert "for people" in client.predict("folder", str(SHIPPED), api_name="/load_model")[0]
    good = client.predict(handle_file(PICTURE), handle_file(DRIVING), start=0, end=0.08, api_name="/check")
    assert good.count("<svg") == 2
    assert good.count("<line") == 20
    assert "There is a person in the picture and in the video." in good
    black = tmp_path / "black.png"
    Image.new("RGB", (320, 320)).save(black)
    bad = client.predict(handle_file(black), handle_file(DRIVING), start=0, end=0.08, api_name="/check")
    assert 'class="mc-check fails"' in bad
    assert "The picture must show a person with both shoulders and a hip in sight, but nobody is found in it" in bad


def test_interpolate_moment_and_export(client):
    pair = (handle_file(LITTLE_PICTURE), handle_file(OTHER_LITTLE_PICTURE))
    images, moment, keypoints, maps = client.predict(*pair, num=3, t=0.25, api_name="/interpolate")
    assert [image["caption"] for image in images] == ["t = 0.00", "t = 0.50", "t = 1.00"]
    assert media.load_image(moment).shape == (128, 128, 3)
    assert "<polyline" in keypoints
    assert [image["caption"] for image in maps] == ["Deformation", "Contribution", "Occlusion"]
    again, _, _ = client.predict(*pair, t=0.25, api_name="/moment")
    assert (media.load_image(again) == media.load_image(moment)).all()
    for kind, ending in (("GIF", ".gif"), ("MP4", ".mp4"), ("PNG", ".zip")):
        file = Path(client.predict(*pair, num=2, kind=kind, api_name="/export"))
        assert file.suffix == ending
        assert file.stat().st_size > 500


def test_compare(client):
    both, wipe, progress = client.predict(
        handle_file(LITTLE_PICTURE), handle_file(DRIVING), start=0, longest=0.08, api_name="/compare"
    )
    assert media.open_video(both).frame_count == 2
    assert wipe.count("data:video/mp4;base64,") == 2
    assert "Done: 2 videos of 2 frames." in progress


def test_a_model_is_loaded_for_one_visitor_alone(connect, tmp_path, golden):
    anna, ben = connect(), connect()
    file = write_checkpoint(tmp_path / "tiny.pth.tar", golden.required())
    assert "variant v2" in anna.predict(kind="shipped", api_name="/load_model")[0]
    text, banner = anna.predict("checkpoint", "", handle_file(file), 128, api_name="/load_model")
    assert "variant tpsmm" in text
    assert "tiny.pth.tar, converted" in banner
    hops = [animate(visitor, variant="v2") for visitor in (anna, ben)]
    assert "needs a model with a selector" in refused(lambda: hops[0].result(60))
    assert hops[1].result(60)[0]


def test_two_visitors_at_once_get_their_own_results(connect):
    anna, ben = connect(), connect()
    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(
                lambda job: animate(job[0], picture=job[1], longest=job[2], selector="fixed", t=job[3]).result(90),
                [(anna, LITTLE_PICTURE, 0.08, 0.5), (ben, OTHER_LITTLE_PICTURE, 0.12, 0.25)],
            )
        )
    for result, count, t in zip(results, (2, 3), ("0.50", "0.25"), strict=True):
        assert media.open_video(result[0]).frame_count == count
        assert f"t = {t}" in result[4]
    first, second = (next(iter(media.open_video(result[0]))).astype(int) for result in results)
    assert abs(first - second).mean() > 5


def test_cancel_stops_the_visitor_s_run_and_nobody_else_s(connect, served, monkeypatch):
    slow_frames(monkeypatch)
    anna, ben = connect(), connect()
    job, other = animate(anna, longest=10), animate(ben)
    end = time.monotonic() + 30
    while time.monotonic() < end and not any(" of 50 frames" in str(output[-1]) for output in job.outputs()):
        time.sleep(0.05)
    assert anna.predict(api_name="/cancel") == "Stopping"
    video, *_, progress = job.result(30)
    done = int(re.search(r"Stopped after (\d+) of 50 frames", progress)[1])
    assert media.open_video(video).frame_count == done < 50
    assert "Done: 2 frames." in other.result(60)[-1]
    assert_settled(served)
    assert anna.predict(api_name="/cancel") == "Nothing is running"


def test_a_client_that_gives_up_ends_its_run(client, served, monkeypatch):
    made = slow_frames(monkeypatch)
    job = animate(client, longest=10)
    end = time.monotonic() + 30
    while time.monotonic() < end and len(job.outputs()) < 2:
        time.sleep(0.05)
    job.cancel()
    assert_settled(served)
    assert len(made) < 50


def test_bad_files_are_refused_with_a_sentence_and_the_next_job_works(client, served, tmp_path):
    for path, words in bad_pictures(tmp_path).values():
        assert words in refused(lambda path=path: animate(client, picture=str(path)).result(60))
    for path, words in bad_videos(tmp_path).values():
        text = refused(lambda path=path: animate(client, driving=str(path)).result(60))
        assert words in text
        assert str(served.folder) not in text
    assert animate(client, driving=SILENT).result(60)[0]
    assert_settled(served)


def test_choices_that_do_not_exist_are_refused_with_a_sentence(client):
    for choice, words in (
        ({"mode": "slow"}, "Mode must be one of"),
        ({"mode": "x" * 100_000}, "Mode must be one of"),
        ({"mode": "avd"}, "needs a model with an AVD network"),
        ({"strength": "much"}, "Strength must be a number"),
        ({"picture_box": "1, 2"}, "must be 4 numbers from 0 to 1"),
        ({"selector": "fixed", "t": 4}, "T must be in"),
        ({"variant": "v9"}, "Variant must be one of"),
        ({"start": 99}, "start must be within"),
    ):
        text = refused(lambda choice=choice: animate(client, **choice).result(60))
        assert words in text
        assert len(text) <= 300


def call(served, name: str, data: list) -> str:
    """What a program that does not keep to the client's ways gets."""
    base = f"{served.url.rstrip('/')}/gradio_api/call/{name}"
    event = WEB.post(base, json={"data": data}, timeout=30)
    if event.status_code != 200:
        return event.text
    return WEB.get(f"{base}/{event.json()['event_id']}", timeout=60).text


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "/proc/self/environ", str(ROOT / "README.md"), "../../../etc/passwd", "file:///etc/passwd",
        "~/.ssh/id_rsa",
    ],
)  # fmt: skip
def test_files_that_were_not_uploaded_are_refused(served, path):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    answer = call(served, "preview", [file, "pad", "everything"])
    assert "event: error" in answer
    assert "root:" not in answer
    got = WEB.get(f"{served.url.rstrip('/')}/gradio_api/file={path}", timeout=10)
    assert got.status_code in (403, 404)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/x.png", "https://example.com/x.png", "http://169.254.169.254/"]
)
def test_addresses_are_not_fetched(served, address):
    file = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
    assert NO_ADDRESSES in call(served, "preview", [file, "pad", "everything"])
    got = WEB.get(f"{served.url.rstrip('/')}/gradio_api/file={address}", timeout=10)
    assert (got.status_code, got.text) == (403, NO_ADDRESSES)


def test_a_fault_of_ours_is_told_without_its_insides(client, served, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("secret insides")

    monkeypatch.setattr(served.service.result(), "describe", broken)
    text = refused(lambda: client.predict(handle_file(DRIVING), start=0, end=0, longest=1, api_name="/describe"))
    assert "Something went wrong here" in text
    assert "secret" not in text


# app.py, and at its end the addresses outside of this computer that it has asked for.
WATCHED = """
import atexit, runpy, socket
outside = []
connect, look = socket.socket.connect, socket.getaddrinfo
def connecting(self, address):
    if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1")):
        outside.append(address)
    return connect(self, address)
def looking(host, *rest, **more):
    if host not in (None, "localhost", "127.0.0.1", "0.0.0.0", "::1", b"localhost"):
        outside.append(host)
    return look(host, *rest, **more)
socket.socket.connect, socket.getaddrinfo = connecting, looking
atexit.register(lambda: print("outside", outside, flush=True))
runpy.run_path("app.py", run_name="__main__")
"""


def first_frame(url: str) -> float:
    """Seconds from asking for an animation of 25 frames to the first of them; waits for all."""
    base = f"{url.rstrip('/')}/gradio_api/"
    parts = [{"files": (Path(path).name, Path(path).read_bytes())} for path in (PICTURE, DRIVING)]
    uploads = [WEB.post(f"{base}upload", files=part).json()[0] for part in parts]
    files = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in uploads]
    choices = ["relative", False, 1, False, "automatic", 0.5, "as trained", "pad", "everything", True, True, 0, 0, 1]
    choices += ["source", None, "", "", "", None]
    began = time.monotonic()
    event = WEB.post(f"{base}call/animate", json={"data": [*files, *choices]}).json()["event_id"]
    with WEB.stream("GET", f"{base}call/animate/{event}", timeout=100) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if "<img" in line)
        took = time.monotonic() - began
        assert any("Done: 25 frames" in line for line in lines)
    return took


@pytest.mark.slow
def test_app_py_starts_quickly_sends_nothing_outside_ends_cleanly_and_leaves_nothing(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    app = subprocess.Popen(
        [sys.executable, "-c", WATCHED],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        guard = threading.Timer(200, app.kill)
        guard.start()
        assert app.stdout is not None
        url = next((line for line in app.stdout if line.startswith("Open http://")), "").split()[1]
        assert time.monotonic() - began < 15
        assert WEB.get(url, timeout=30).status_code == 200
        while WEB.get(f"{url.rstrip('/')}/health").status_code != 200:
            time.sleep(0.1)
        assert time.monotonic() - began < 25
        assert first_frame(url) < 5
        assert list(tmp_path.glob("motion-space-*"))
        app.terminate()
        assert app.wait(60) == 0
        assert app.stdout.read().splitlines()[-1] == "outside []"
        assert list(tmp_path.glob("motion-space-*")) == []
    finally:
        guard.cancel()
        app.kill()
        app.communicate()
