"""Frames by their number, and the cache they are kept in. A frame shows its own number, painted into it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from media_files import HEIGHT, WIDTH, damage, number_of, numbered, textured, write_video
from PIL import Image
from subcases import each_case
from torch.utils.data import DataLoader, Dataset

from motion_core.errors import InputError
from motion_core.media import open_frames
from train.data import BrokenFrameError
from train.data.frames import FrameCache, FrameStore

FRAME = HEIGHT * WIDTH * 3  # bytes
SIZE = (HEIGHT, WIDTH)
MB = 2**20


def make(folder, kind, count=40):
    """A video of numbered frames of the given kind."""
    if kind == "video":
        return write_video(folder / "clip.mp4", count, options={"g": "250"})
    frames = [numbered(k, 96, 96) if kind == "frames side by side" else numbered(k) for k in range(count)]
    if kind == "animation":
        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(folder / "clip.gif", save_all=True, append_images=pictures[1:])
        return folder / "clip.gif"
    if kind == "frames side by side":
        Image.fromarray(np.concatenate(frames, axis=1)).save(folder / "clip.png")
        return folder / "clip.png"
    (folder / "clip").mkdir()
    for k, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / "clip" / f"{k}.png")
    return folder / "clip"


KINDS = ("video", "animation", "frames side by side", "folder of frames")


@each_case("kind", KINDS)
def test_a_frame_is_found_by_its_number(tmp_path, kind):
    video = open_frames(make(tmp_path, kind))
    assert (video.kind, video.count) == (kind, 40)
    assert video.size == ((96, 96) if kind == "frames side by side" else SIZE)
    for wanted in ([39, 3, 17, 3], [0], [5, 38]):
        found = [(number, number_of(pixels)) for number, pixels in video.frames_at(wanted)]
        assert found == [(number, number) for number in sorted(set(wanted))]


def test_a_picture_is_frames_side_by_side_if_its_width_says_so(tmp_path):
    for width, count in ((64, 1), (128, 2), (100, 1), (32, 1)):
        Image.new("RGB", (width, 64)).save(tmp_path / "a.png")
        video = open_frames(tmp_path / "a.png")
        assert (video.count, video.size) == (count, (64, width // count))
        assert video.kind == ("picture" if count == 1 else "frames side by side")


def test_damage_is_reported_with_the_name(tmp_path):
    path = make(tmp_path, "folder of frames")
    (path / "7.png").write_bytes(b"no picture")
    Image.fromarray(numbered(8)[:32]).save(path / "8.png")
    video = open_frames(path)
    with pytest.raises(InputError, match=r"7\.png"):
        list(video.frames_at([6, 7]))
    with pytest.raises(InputError, match=r"8\.png: must have the \(h, w\) of the first frame"):
        list(video.frames_at([8]))
    gif = make(tmp_path, "animation")
    gif.write_bytes(gif.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"clip\.gif"):
        list(open_frames(gif).frames_at(range(40)))


def store_of(path, cache_mb, size=SIZE, fit="crop"):
    return FrameStore([open_frames(path)], size, fit, cache_mb)


def shown(frames):
    return [number_of(frame.permute(1, 2, 0).numpy()) for frame in frames]


@each_case("kind", ["video", "animation", "folder of frames"])
def test_the_cache_changes_no_frame(tmp_path, kind):
    path = make(tmp_path, kind)
    for cache_mb in (0, 3 * FRAME / MB, 64):
        store = store_of(path, cache_mb)
        for wanted in ([30, 2], [2, 30], [2, 2], [31, 30], [0, 39]):
            frames = store.frames(0, wanted)
            assert shown(frames) == wanted
            assert all(frame.shape == (3, *SIZE) and frame.dtype == torch.uint8 for frame in frames)


def test_a_video_that_fits_is_decoded_once(tmp_path):
    path = make(tmp_path, "video")
    fits, does_not_fit = store_of(path, 41 * FRAME / MB), store_of(path, 39 * FRAME / MB)
    assert shown(fits.frames(0, [1, 20])) == shown(does_not_fit.frames(0, [1, 20])) == [1, 20]
    path.unlink()
    assert shown(fits.frames(0, list(range(40)))) == list(range(40))
    assert shown(does_not_fit.frames(0, [20, 1])) == [20, 1]
    with pytest.raises(BrokenFrameError, match=r"clip\.mp4"):
        does_not_fit.frames(0, [2])


def test_only_what_is_asked_for_is_kept_where_that_is_wanted(tmp_path):
    path = make(tmp_path, "video")
    store = FrameStore([open_frames(path)], SIZE, "crop", 64, whole_videos=False)
    assert shown(store.frames(0, [1, 20])) == [1, 20]
    assert store._own_cache().free == 64 * MB - 2 * FRAME
    path.unlink()
    assert shown(store.frames(0, [20, 1])) == [20, 1]


def test_of_a_folder_only_what_is_used_is_decoded(tmp_path):
    path = make(tmp_path, "folder of frames")
    (path / "7.png").write_bytes(b"no picture")
    assert shown(store_of(path, 64).frames(0, [6, 8])) == [6, 8]


def test_the_least_recently_used_frame_goes_out_first():
    cache = FrameCache(limit=2 * 12)
    a, b, c = (torch.full((3, 2, 2), k, dtype=torch.uint8) for k in range(3))
    cache.put((0, 0), a)
    cache.put((0, 1), b)
    assert cache.free == 0
    assert cache.get((0, 0)) is a
    cache.put((0, 2), c)
    assert (cache.get((0, 0)), cache.get((0, 1)), cache.get((0, 2))) == (a, None, c)
    cache.put((0, 3), torch.zeros(100, dtype=torch.uint8))
    assert cache.get((0, 3)) is None
    assert cache.free == 0


class Limits(Dataset):
    def __init__(self, store):
        self.store = store

    def __len__(self):
        return 4

    def __getitem__(self, n):
        return self.store._own_cache().free


def test_the_workers_share_the_memory(tmp_path):
    store = store_of(make(tmp_path, "video"), 8)
    assert store._own_cache().free == 8 * MB
    assert torch.cat(list(DataLoader(Limits(store), num_workers=2))).tolist() == [4 * MB] * 4


def test_frames_are_resized_as_pillow_does(tmp_path):
    path = tmp_path / "a.png"
    picture = Image.fromarray(textured(0, 120, 200))  # wider than high, and no whole number of times
    picture.save(path)
    (frame,) = store_of(path, 0, size=(48, 48)).frames(0, [0])
    expected = np.asarray(picture.crop((40, 0, 160, 120)).resize((48, 48), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(frame.permute(1, 2, 0).numpy() - expected).max() <= 1
    (frame,) = store_of(path, 0, size=(48, 48), fit="stretch").frames(0, [0])
    expected = np.asarray(picture.resize((48, 48), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(frame.permute(1, 2, 0).numpy() - expected).max() <= 1


class Frames(Dataset):
    def __init__(self, store):
        self.store = store

    def __len__(self):
        return self.store.videos[0].count

    def __getitem__(self, n):
        return self.store.frames(0, [n])[0]


def test_a_damaged_frame_stops_a_loader_with_one_sentence(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 60, frame=textured)
    size = open_frames(path).size
    damage(path, 0.5, 4000)
    store = store_of(path, 0, size)
    with pytest.raises(BrokenFrameError) as caught:
        list(DataLoader(Frames(store), num_workers=1))
    assert str(caught.value).startswith(f"{path}: is damaged at frame ")
    assert "Traceback" not in str(caught.value)
