"""Growing a pipeline to images of twice the size."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from motion_core import MotionInterpPipeline
from motion_core.demo import random_pipeline
from motion_core.structures import Keypoints
from train import grow


@torch.no_grad()
def test_the_motion_stays_and_a_finer_mask_is_added(tmp_path):
    small = random_pipeline(image_size=128, variant="v2")
    for network in (small.dense_motion_network, small.keypoint_detector):
        network.eval()
    small.save_pretrained(tmp_path / "small")
    assert grow.main([str(tmp_path / "small"), str(tmp_path / "large")]) == 0
    large = MotionInterpPipeline.from_pretrained(tmp_path / "large")
    assert list(large.config.image_size) == [256, 256]
    assert large.config.variant == "v2"
    assert large.keypoint_detector.config.shrink == 2
    assert large.dense_motion_network.config.shrink == 8

    # The same small picture and keypoints give the same motion, and the masks that both have
    source, driving = (Keypoints(torch.rand(1, 5, 5, 2) * 1.6 - 0.8) for _ in range(2))
    picture = torch.rand(1, 3, 32, 32)
    before, now = (pipe.dense_motion_network(picture, source, driving) for pipe in (small, large))
    torch.testing.assert_close(now.deformation, before.deformation)
    torch.testing.assert_close(now.contribution_maps, before.contribution_maps)
    assert [mask.shape[-1] for mask in now.occlusion_masks] == [32, 64, 128, 256]
    for mask, same in zip(now.occlusion_masks[:-1], before.occlusion_masks[1:], strict=True):
        torch.testing.assert_close(mask, same)
    assert now.occlusion_masks[-1].min() > 0.8, "at first nearly all of the deformed image is kept"

    # Keypoints are found where they were, up to what enlarging does to a picture
    image = F.interpolate(torch.rand(1, 3, 8, 8), (256, 256), mode="bicubic").clamp(0, 1)
    half = F.interpolate(image, (128, 128), mode="bilinear", antialias=True)
    distance = (large.keypoint_detector(image).points - small.keypoint_detector(half).points).abs().max()
    assert distance < 0.02

    for name in ("image_generator", "view_fusion", "selector"):
        for key, value in getattr(small, name).state_dict().items():
            assert torch.equal(getattr(large, name).state_dict()[key], value)


@torch.no_grad()
def test_finer_gives_a_window_of_the_image_what_the_small_one_gave_its_image(tmp_path):
    small = random_pipeline(image_size=128, variant="tpsmm")
    small.save_pretrained(tmp_path / "small")
    assert grow.main([str(tmp_path / "small"), str(tmp_path / "large"), "--finer"]) == 0
    large = MotionInterpPipeline.from_pretrained(tmp_path / "large")
    assert list(large.config.image_size) == [256, 256]
    assert large.background_predictor.config.shrink == 2 * small.background_predictor.config.shrink
    for name in ("keypoint_detector", "dense_motion_network", "image_generator"):
        ours, theirs = (getattr(pipe, name) for pipe in (large, small))
        assert {key: value for key, value in ours.config.items() if not key.startswith("_")} == {
            key: value for key, value in theirs.config.items() if not key.startswith("_")
        }
        assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    image = F.interpolate(torch.rand(2, 3, 8, 8), (256, 256), mode="bicubic").clamp(0, 1)
    half = F.interpolate(image, (128, 128), mode="bilinear", antialias=True)
    there = [pipe.background_predictor(each[:1], each[1:]) for pipe, each in ((large, image), (small, half))]
    torch.testing.assert_close(*there, atol=0.02, rtol=0)


def test_what_is_no_pipeline_gives_a_sentence(tmp_path, capsys):
    assert grow.main([str(tmp_path), str(tmp_path / "large")]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "large").exists()
