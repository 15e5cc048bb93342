"""Points known to correspond: they stay on what they mark, whatever is done to the images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from motion_core.errors import InputError
from motion_core.geometry import sample
from train.data import Jitter, PairDataset, PairOptions

SIDE, FRAMES = 64, 4
OPTIONS = {"image_size": 32, "jitter": Jitter(0, 0, 0, 0)}


def place_of(frame):
    """Middle of the white square of a frame, in pixels from the picture's left upper corner."""
    return 14 + 11 * frame, 45 - 7 * frame


def write_tracks(root, places, video="a#1", **more):
    (root / "tracks" / "train").mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "tracks" / "train" / f"{video}.npz", places=places, **more)


@pytest.fixture
def root(tmp_path):
    """Frames with a white square of 8 pixels that wanders, its middle as point 0, and point 1 that is seen in frame 0 alone."""
    folder = tmp_path / "train" / "a#1"
    folder.mkdir(parents=True)
    places = np.zeros((FRAMES, 2, 2), np.uint8)
    for k in range(FRAMES):
        x, y = place_of(k)
        picture = Image.new("RGB", (SIDE, SIDE))
        picture.paste((255, 255, 255), (x - 4, y - 4, x + 4, y + 4))
        picture.save(folder / f"{k}.png")
        places[k, 0] = np.round(np.array((x, y)) / SIDE * 255)
    places[0, 1] = 9
    write_tracks(tmp_path, places)
    return tmp_path


def shown_at(image, points):
    """What an image (3, H, W) shows at points (N, 2), its first channel."""
    return sample(image[None], points[None, None])[0, 0, 0]


@pytest.mark.parametrize(("zoom", "turn", "resize"), [(1, 0, 1), (2, 0, 1), (1, 40, 1.3)])
def test_points_stay_on_what_they_mark(root, zoom, turn, resize):
    dataset = PairDataset(root, PairOptions(**OPTIONS, zoom=zoom, turn=turn, resize=resize, tracks=True))
    tracked = 0
    flips = set()
    for n in range(30):
        item = dataset[n]
        assert item["points"].shape == (2, 2, 2)
        assert item["visible"].shape == (2, 2)
        both = item["visible"].all(dim=0)
        assert not both[1]  # never in both
        flips.add(dataset.plan(n).flip)
        if both[0]:
            tracked += 1
            assert shown_at(item["source"], item["points"][0, :1]) > 0.95
            assert shown_at(item["driving"], item["points"][1, :1]) > 0.95
            # by a square's width they would be off it
            assert shown_at(item["driving"], item["points"][1, :1] + 8 / SIDE * 2 * dataset.plan(n).zoom) < 0.5
    assert flips == {True, False}
    assert tracked == 30 if zoom == 1 else 5 < tracked < 30  # a window may hold one of the two places only


def test_videos_without_tracks_have_points_that_do_not_count(root):
    (root / "train" / "b").mkdir()
    for k in range(2):
        Image.new("RGB", (SIDE, SIDE)).save(root / "train" / "b" / f"{k}.png")
    dataset = PairDataset(root, PairOptions(**OPTIONS, tracks=True))
    counted = {dataset.plan(n).source_video: dataset[n]["visible"].all(dim=0).sum().item() for n in range(2)}
    assert counted == {0: 1, 1: 0}
    assert dataset[0]["points"].shape == dataset[1]["points"].shape


def test_without_the_option_there_are_none(root):
    assert set(PairDataset(root, PairOptions(**OPTIONS))[0]) == {"source", "driving", "number"}


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        (np.zeros((FRAMES, 2, 2), np.float32), r"must have places \(T, N, 2\) uint8, got"),
        (np.zeros((FRAMES, 2), np.uint8), r"must have places \(T, N, 2\) uint8, got"),
        (np.zeros((FRAMES + 1, 2, 2), np.uint8), "must have the 4 frames of its video, got 5"),
        (np.array([{}], dtype=object), "must be an .npz file with places, but cannot be read"),
    ],
)
def test_tracks_that_cannot_be_used(root, places, sentence):
    write_tracks(root, places)
    with pytest.raises(InputError, match=sentence):
        PairDataset(root, PairOptions(**OPTIONS, tracks=True))


def test_a_broken_file_another_aspect_and_none_at_all(root):
    file = root / "tracks" / "train" / "a#1.npz"
    with pytest.raises(InputError, match=r"aspect of image_size \[32, 48\], got \[64, 64\]"):
        PairDataset(root, PairOptions(**(OPTIONS | {"image_size": (32, 48)}), tracks=True))
    file.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="cannot be read"):
        PairDataset(root, PairOptions(**OPTIONS, tracks=True))
    file.unlink()
    with pytest.raises(InputError, match=r"must have tracks/train/NAME\.npz of a video, but has none"):
        PairDataset(root, PairOptions(**OPTIONS, tracks=True))


def test_samples_are_batched(root):
    loader = torch.utils.data.DataLoader(PairDataset(root, PairOptions(**OPTIONS, tracks=True)), batch_size=1)
    assert next(iter(loader))["points"].shape == (1, 2, 2, 2)


def test_keypoints_are_where_points_of_the_same_place_are(root):
    """They go through windows and the rest as the points do; one that is at (0, 0) is not known."""
    with np.load(root / "tracks" / "train" / "a#1.npz") as file:
        places = file["places"]
    keypoints = np.zeros((FRAMES, 2, 3, 2), np.uint8)
    keypoints[:, 1, 2] = places[:, 0]
    write_tracks(root, places, keypoints=keypoints)
    dataset = PairDataset(root, PairOptions(**OPTIONS, zoom=2, tracks=True, splines=(2, 3), flip=False))
    for n in range(10):
        item = dataset[n]
        assert item["keypoints"].shape == (2, 2, 3, 2)
        assert item["known"].sum() == item["known"][:, 1, 2].sum()
        assert torch.equal(item["keypoints"][:, 1, 2], item["points"][:, 0])
        assert torch.equal(item["known"][:, 1, 2], item["visible"][:, 0])
    with pytest.raises(InputError, match=r"must have keypoints \(4, 5, 3, 2\) uint8, got \(4, 2, 3, 2\) uint8"):
        PairDataset(root, PairOptions(**OPTIONS, tracks=True, splines=(5, 3), flip=False))
    write_tracks(root, places)
    with pytest.raises(InputError, match=r"must be an \.npz file with places and keypoints"):
        PairDataset(root, PairOptions(**OPTIONS, tracks=True, splines=(2, 3), flip=False))
    with pytest.raises(InputError, match="splines, silhouettes: must be off without tracks"):
        PairOptions(**OPTIONS, splines=(2, 3))


@pytest.mark.parametrize(("zoom", "turn", "resize"), [(1, 0, 1), (1.5, 0, 1), (1, 40, 1.3)])
def test_silhouettes_stay_on_what_they_cover(root, zoom, turn, resize):
    """Mirrored, seen from nearer or turned: where the square is in the images, and hardly anywhere else."""
    with np.load(root / "tracks" / "train" / "a#1.npz") as file:
        places = file["places"]
    cells = np.zeros((FRAMES, 32, 32), bool)
    for k in range(FRAMES):
        x, y = place_of(k)
        cells[k, (y - 4) // 2 : (y + 5) // 2, (x - 4) // 2 : (x + 5) // 2] = True
    write_tracks(root, places, silhouettes=np.packbits(cells.reshape(FRAMES, -1), axis=1))
    options = OPTIONS | {"zoom": zoom, "turn": turn, "resize": resize, "tracks": True}
    dataset, plain = (PairDataset(root, PairOptions(**options, silhouettes=known)) for known in (True, False))
    flips = set()
    for n in range(20):
        item = dataset[n]
        flips.add(dataset.plan(n).flip)
        assert torch.equal(item["source"], plain[n]["source"])
        assert item["silhouette"].shape == (2, 1, 32, 32)
        for image, silhouette in zip((item["source"], item["driving"]), item["silhouette"], strict=True):
            white = image[:1]
            near = torch.nn.functional.max_pool2d(silhouette, 3, 1, 1)  # cells and pixels do not share their edges
            assert (white - near).max() < 0.1
            assert silhouette.sum() < 2 * white.sum() + 2
    assert flips == {True, False}
    write_tracks(root, places, silhouettes=cells)
    with pytest.raises(InputError, match=r"must have silhouettes \(4, 128\) uint8, got \(4, 32, 32\) bool"):
        PairDataset(root, PairOptions(**options, silhouettes=True))
    write_tracks(root, places)
    assert PairDataset(root, PairOptions(**options, silhouettes=True))[0]["silhouette"].min() > 0.99  # not known


def test_in_mirrored_pairs_left_is_right(root):
    """Keypoints and groups change places as the file says, and the image of each place goes along."""
    with np.load(root / "tracks" / "train" / "a#1.npz") as file:
        places = file["places"]
    keypoints = np.zeros((FRAMES, 2, 3, 2), np.uint8)
    keypoints[:, 1, 2] = places[:, 0]
    mirrored = np.array([[3, 5, 4], [0, 2, 1]], np.uint8)  # spline 1 becomes 0, and its last point the middle one
    write_tracks(root, places, keypoints=keypoints, groups=np.array([1, 0], np.uint8), mirrored=mirrored)
    dataset = PairDataset(root, PairOptions(**OPTIONS, tracks=True, splines=(2, 3)))
    flips = set()
    for n in range(20):
        item, flip = dataset[n], dataset.plan(n).flip
        flips.add(flip)
        spline, point = (0, 1) if flip else (1, 2)
        assert item["known"].sum() == item["known"][:, spline, point].sum() > 0
        assert item["groups"].tolist() == ([0, 1] if flip else [1, 0])
        assert shown_at(item["source"], item["keypoints"][0, spline, point][None]) > 0.95
    assert flips == {False, True}
    write_tracks(root, places, keypoints=keypoints)
    with pytest.raises(InputError, match=r"must be an \.npz file with places, keypoints and mirrored"):
        PairDataset(root, PairOptions(**OPTIONS, tracks=True, splines=(2, 3)))
    write_tracks(root, places, keypoints=keypoints, mirrored=np.zeros((2, 3), np.uint8))
    with pytest.raises(InputError, match=r"must have mirrored \(2, 3\), each keypoint's number once"):
        PairDataset(root, PairOptions(**OPTIONS, tracks=True, splines=(2, 3)))
