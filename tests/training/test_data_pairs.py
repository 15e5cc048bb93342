"""Which pairs are sampled. Frames show their own number, so that it can be read off the sample."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
import torch
from media_files import HEIGHT, WIDTH, cut, number_of, numbered, write_video
from PIL import Image
from torch.utils.data import DataLoader

from motion_core.errors import InputError
from train.config import DataConfig, JitterConfig
from train.data import BrokenFrameError, PairDataset, ValidationPairs

STILL = JitterConfig(brightness=0, contrast=0, saturation=0, hue=0)


def plain(root, **options) -> DataConfig:
    """Pairs at the frames' own size, not augmented."""
    return DataConfig(**{"root": str(root), "image_size": (HEIGHT, WIDTH), "flip": False, "jitter": STILL} | options)


def frames_folder(folder, count, first=0):
    folder.mkdir(parents=True)
    for k in range(first, first + count):
        Image.fromarray(numbered(k)).save(folder / f"{k}.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three videos of 10, 30 and 50 frames, whose numbers begin at 0, 100 and 200."""
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        for place, (name, count) in enumerate((("a#1", 10), ("a#2.mp4", 30), ("b", 50))):
            frames_folder(root / split / name, count, 100 * place)
    return root


def shown(image):
    return number_of(image.mul(255).round().byte().permute(1, 2, 0).numpy())


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a.keys() | b.keys())


def test_a_sample_shows_what_its_plan_says(root):
    dataset = PairDataset(plain(root))
    assert len(dataset) == 3
    for n in (0, 1, 2, 500):
        sample, plan = dataset[n], dataset.plan(n)
        assert plan.source_video == plan.driving_video
        assert shown(sample["source"]) == 100 * plan.source_video + plan.source_frame
        assert shown(sample["driving"]) == 100 * plan.driving_video + plan.driving_frame
        assert sample["number"].dtype == torch.int64
        assert sample["number"] == n
        assert sample["source"].shape == (3, HEIGHT, WIDTH)
        assert sample["source"].dtype == torch.float32


def test_sample_n_depends_on_n_alone(root):
    """Not on what was asked before, on the process, or on the copy of the dataset."""
    config = DataConfig(root=str(root), image_size=32)
    expected = [PairDataset(config, seed=3)[n] for n in range(8)]
    backwards = PairDataset(config, seed=3)
    copy = pickle.loads(pickle.dumps(backwards))
    loader = DataLoader(copy, 2, sampler=range(8), num_workers=2)
    batches = list(loader)
    for n in reversed(range(8)):
        assert same(expected[n], backwards[n])
        assert same(expected[n], {key: value[n % 2] for key, value in batches[n // 2].items()})
    others = [PairDataset(config, seed=4)[n] for n in range(8)]
    assert not any(torch.equal(a["source"], b["source"]) for a, b in zip(expected, others, strict=True))


def test_a_pass_takes_every_video_once(root):
    dataset = PairDataset(plain(root))
    passes = [tuple(dataset.plan(3 * turn + k).source_video for k in range(3)) for turn in range(40)]
    assert all(sorted(order) == [0, 1, 2] for order in passes)
    assert len(set(passes)) == 6  # all orders there are


def test_every_pair_of_frames_is_as_likely(tmp_path):
    frames_folder(tmp_path / "train" / "a", 5)
    dataset = PairDataset(plain(tmp_path, min_stride=2, max_stride=3))
    drawn = Counter((plan.source_frame, plan.driving_frame) for plan in map(dataset.plan, range(4000)))
    expected = {(i, j) for i in range(5) for j in range(5) if abs(i - j) in (2, 3)}
    assert set(drawn) == expected  # 10 pairs of 400 each, standard deviation 19
    assert min(drawn.values()) > 310
    assert max(drawn.values()) < 490


def test_strides_are_kept_as_far_as_a_video_goes(tmp_path, caplog):
    frames_folder(tmp_path / "train" / "a", 3)
    for least, gaps in ((0, {0, 1, 2}), (1, {1, 2}), (9, {2})):
        assert "their ends are used" not in caplog.text
        plans = map(PairDataset(plain(tmp_path, min_stride=least)).plan, range(100))
        assert {abs(plan.source_frame - plan.driving_frame) for plan in plans} == gaps
    assert "their ends are used" in caplog.text


def test_identities_come_up_equally_often(root, tmp_path):
    for name in ("id1#a", "id1#b", "id1#c", "id10#a"):
        frames_folder(tmp_path / "train" / name, 2)
    dataset = PairDataset(plain(tmp_path, id_sampling=True))
    assert len(dataset) == 2
    plans = [dataset.plan(n) for n in range(600)]
    names = [dataset.files[plan.source_video].name for plan in plans]
    assert all({a[:4], b[:4]} == {"id1#", "id10"} for a, b in zip(names[::2], names[1::2], strict=True))
    counts = Counter(names)
    assert counts["id10#a"] == 300
    assert min(counts[f"id1#{x}"] for x in "abc") > 60
    assert all(plan.source_video == plan.driving_video for plan in plans)


def test_a_pair_list_says_which_videos_belong_together(tmp_path):
    frames_folder(tmp_path / "train" / "a", 3, 100)
    for k in (1, 2):
        Image.fromarray(numbered(k)).save(tmp_path / "train" / f"photo_{k}.png")
    (tmp_path / "train" / "unused.mp4").write_bytes(b"broken, but not in the list")
    table = tmp_path / "pairs.csv"
    table.write_text("source,driving\nphoto_1.png,photo_2.png\na,a\n")
    dataset = PairDataset(plain(tmp_path, pair_list=str(table)))
    assert len(dataset) == 2
    seen = {(shown(dataset[n]["source"]), shown(dataset[n]["driving"])) for n in range(60)}
    assert seen == {(1, 2), *((100 + i, 100 + j) for i in range(3) for j in range(3) if i != j)}

    table.write_text("source,driving\nphoto_1.png,photo_9.png\n")
    with pytest.raises(InputError, match=r"but driving 'photo_9\.png' is none"):
        PairDataset(plain(tmp_path, pair_list=str(table)))
    table.write_text("source,driving\nphoto_1.png,photo_1.png\n")
    with pytest.raises(InputError, match="at least 2 frames"):
        PairDataset(plain(tmp_path, pair_list=str(table)))


def test_half_of_the_pairs_are_mirrored_both_images_alike(root):
    straight, mirrored = PairDataset(plain(root)), PairDataset(plain(root, flip=True))
    flips = 0
    for n in range(40):
        a, b, flip = straight[n], mirrored[n], mirrored.plan(n).flip
        flips += flip
        for key in ("source", "driving"):
            assert torch.equal(b[key], a[key].flip(-1) if flip else a[key])
    assert 10 < flips < 30


def test_both_images_get_the_same_colours(tmp_path):
    """Two frames that are the same picture stay the same, and change from pair to pair."""
    for k in range(2):
        (tmp_path / "train" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbered(5)).save(tmp_path / "train" / "a" / f"{k}.png")
    jitter = JitterConfig(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.3)
    dataset = PairDataset(plain(tmp_path, jitter=jitter))
    samples = [dataset[n] for n in range(5)]
    assert all(torch.equal(sample["source"], sample["driving"]) for sample in samples)
    assert all(not torch.equal(samples[0]["source"], sample["source"]) for sample in samples[1:])
    assert all(sample["source"].min() >= 0 and sample["source"].max() <= 1 for sample in samples)


def test_a_video_that_cannot_be_opened_is_named(tmp_path, caplog):
    for split in ("train", "test"):
        frames_folder(tmp_path / split / "good", 3)
        (tmp_path / split / "bad.mp4").write_bytes(b"no video at all")
        frames_folder(tmp_path / split / "one", 1)
    for cls in (PairDataset, ValidationPairs):
        with pytest.raises(
            InputError, match=r"bad\.mp4: .* \(2 of 3 videos .* python -m train\.check_data .*skip_broken"
        ):
            cls(plain(tmp_path))
        caplog.clear()
        dataset = cls(plain(tmp_path, skip_broken=True))
        assert [file.name for file in dataset.files] == ["good"]
        assert "2 of 3 videos cannot be used" in caplog.text
        assert "one: must have at least 2 frames, got 1" in caplog.text
    (tmp_path / "train" / "good").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="2 of 2 videos"):
        PairDataset(plain(tmp_path, skip_broken=True))


def test_another_sample_is_drawn_for_a_damaged_frame(tmp_path):
    for split in ("train", "test"):
        frames_folder(tmp_path / split / "good", 4)
        frames_folder(tmp_path / split / "bad", 4, first=100)
        for path in (tmp_path / split / "bad").iterdir():
            cut(path, 0.6)
    for cls in (PairDataset, ValidationPairs):
        dataset = cls(plain(tmp_path))
        with pytest.raises(
            BrokenFrameError, match=r"bad.*damaged.*python -m train\.check_data .*data\.skip_broken=true"
        ):
            [dataset[n] for n in range(len(dataset))]
        dataset, again = (cls(plain(tmp_path, skip_broken=True)) for _ in range(2))
        samples = [dataset[n] for n in range(len(dataset))]
        assert all(shown(sample[end]) < 4 for sample in samples for end in ("source", "driving"))
        assert all(same(again[n], samples[n]) for n in reversed(range(len(dataset))))
    training = PairDataset(plain(tmp_path, skip_broken=True))
    redrawn = [int(training[n]["redrawn"]) for n in range(10)]
    assert sum(count > 0 for count in redrawn) == 5  # of each two samples, one was of the broken video


def test_validation_pairs_are_always_the_same(root):
    config = DataConfig(root=str(root), image_size=(HEIGHT, WIDTH))  # flips and jitter are on, for training
    first, again = ValidationPairs(config, per_video=5), ValidationPairs(config, per_video=5)
    assert len(first) == 15
    for n in range(15):
        sample, plan = first[n], first.plan(n)
        assert same(sample, again[n])
        assert sample["video"] == n // 5
        assert sample["number"] == n
        assert shown(sample["source"]) == 100 * (n // 5) + plan.source_frame
        assert shown(sample["driving"]) == 100 * (n // 5) + plan.driving_frame
    gaps = [abs(plan.source_frame - plan.driving_frame) for plan in map(first.plan, range(10, 15))]
    assert gaps == [10, 20, 29, 39, 49]  # fifths of the 49 steps of the longest video
    other = ValidationPairs(config, seed=1, per_video=5)
    assert any(first.plan(n) != other.plan(n) for n in range(15))


def test_validation_pairs_do_not_depend_on_other_videos(root, tmp_path):
    frames_folder(tmp_path / "test" / "b", 50)
    alone, among = ValidationPairs(plain(tmp_path)), ValidationPairs(plain(root))
    for k in range(4):
        a, b = alone.plan(k), among.plan(8 + k)
        assert (a.source_frame, a.driving_frame) == (b.source_frame, b.driving_frame)


def test_frames_count_as_they_are_stored(tmp_path):
    """Not as a player would show them: a file of variable rate is not resampled."""
    (tmp_path / "train").mkdir()
    write_video(tmp_path / "train" / "a.mkv", 8, ticks=[0, 1, 2, 10, 11, 12, 30, 31])
    dataset = PairDataset(plain(tmp_path))
    for n in range(20):
        plan = dataset.plan(n)
        assert shown(dataset[n]["source"]) == plan.source_frame
    assert {dataset.plan(n).source_frame for n in range(100)} == set(range(8))
