"""The feature networks against torchvision's and timm's own, and what is said when their weights cannot be had."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from subcases import each_case
from torch import Tensor

from motion_core import InputError
from motion_core.networks.tpsmm.blocks import Shrink
from train.features import PerceptualFeatures, VisionTransformerFeatures, load_vgg, load_vit

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
TAPS = (1, 6, 11, 20, 29)


@cache
def random_vgg() -> PerceptualFeatures:
    return load_vgg("random", scales=(1,))


@cache
def random_vit() -> VisionTransformerFeatures:
    return load_vit("random", size=32)


def vgg_state() -> dict[str, Tensor]:
    """Under torchvision's names, with a classifier as in its files, and as in timm's."""
    state = {f"features.{name}": value.contiguous() for name, value in random_vgg().layers.state_dict().items()}
    rest = ("features.30.weight", "classifier.0.weight", "pre_logits.fc1.weight", "head.fc.bias")
    return state | {name: torch.zeros(2) for name in rest}


def vit_state() -> dict[str, Tensor]:
    return {**random_vit().model.state_dict(), "head.weight": torch.zeros(2, 2), "head.bias": torch.zeros(2)}


def normalised(image: Tensor) -> Tensor:
    return (image - MEAN[:, None, None]) / STD[:, None, None]


# VGG-19


def test_the_taps_are_those_of_torchvision():
    """After the layers 1, 6, 11, 20 and 29 of its `features`."""
    theirs = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"])
    theirs.load_state_dict(random_vgg().layers.state_dict(), strict=False)
    image = torch.rand(2, 3, 48, 32)
    with torch.no_grad():
        features = random_vgg()(image)
        x, expected = normalised(image), []
        for index, layer in enumerate(theirs):
            x = layer(x)
            if index in TAPS:
                expected.append(x.clone())
    assert [tuple(feature.shape) for feature in features] == [
        (2, 64, 48, 32),
        (2, 128, 24, 16),
        (2, 256, 12, 8),
        (2, 512, 6, 4),
        (2, 512, 3, 2),
    ]
    for feature, other in zip(features, expected, strict=True):
        torch.testing.assert_close(feature, other, rtol=1e-4, atol=1e-4)


def test_a_pyramid_is_the_features_of_the_reduced_images():
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pyramid = load_vgg("random", scales=(1, 2, 4))(image)
        expected = [feature for scale in (1, 2, 4) for feature in random_vgg()(Shrink(3, scale)(image))]
    assert len(pyramid) == 15
    for feature, other in zip(pyramid, expected, strict=True):
        torch.testing.assert_close(feature, other)


def test_an_image_too_small_for_the_scales_is_refused():
    vgg = load_vgg("random", scales=(1, 8))
    assert vgg(torch.rand(1, 3, 121, 128))[-1].shape[-2:] == (1, 1)
    with pytest.raises(InputError, match=r"^losses.scales: .* sides of 121 or more, got 120 x 128$"):
        vgg(torch.rand(1, 3, 120, 128))


# Both


def test_the_image_has_a_gradient_and_the_parameters_have_none():
    for features in (random_vgg().train(), random_vit().train()):
        image = torch.rand(1, 3, 32, 32, requires_grad=True)
        found = features(image)
        outputs = found if isinstance(found, tuple) else (found.class_token, found.keys)
        for output in outputs:
            (gradient,) = torch.autograd.grad(output.square().sum(), image, retain_graph=True)
            assert gradient.isfinite().all()
            assert gradient.any()
        assert not any(module.training for module in features.modules())
        assert not any(parameter.requires_grad for parameter in features.parameters())


def test_random_features_are_the_same_everywhere_and_say_so(caplog):
    before = torch.random.get_rng_state()
    with caplog.at_level(logging.WARNING):
        first = {load: load("random").state_dict() for load in (load_vgg, load_vit)}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "features.vgg is random" in caplog.text
    assert "features.vit is random" in caplog.text
    assert torch.equal(torch.random.get_rng_state(), before), "a training run's random numbers stay what they were"
    torch.manual_seed(1)
    for load, state in first.items():
        second = load("random").state_dict()
        assert all(value.equal(second[name]) for name, value in state.items())


def test_a_narrower_vgg_is_drawn_or_read_off_its_file(tmp_path):
    narrow = load_vgg("random:8", scales=(1,))
    shapes = [tuple(feature.shape) for feature in narrow(torch.rand(1, 3, 32, 32))]
    assert shapes == [(1, 8, 32, 32), (1, 16, 16, 16), (1, 32, 8, 8), (1, 64, 4, 4), (1, 64, 2, 2)]
    file = tmp_path / "narrow.safetensors"
    save_file({f"features.{name}": value.contiguous() for name, value in narrow.layers.state_dict().items()}, file)
    again = load_vgg(str(file), scales=(1,))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in narrow.state_dict().items())
    with pytest.raises(InputError, match=r"features\.vgg must be"):
        load_vgg("random:0")


def test_random_weights_are_scaled_as_he_et_al_do():
    weight = random_vgg().layers[0].weight
    expected = np.random.default_rng(0).standard_normal((64, 3, 3, 3), dtype=np.float32) * np.sqrt(2 / 27)
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    with torch.no_grad():
        means = [float(feature.mean()) for feature in random_vgg()(torch.rand(1, 3, 64, 64))]
    assert 0.1 < min(means) < max(means) < 2, "the deepest layer is as large as the first"


def test_they_compute_in_bf16_inside_autocast():
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        exact, exact_vit = random_vgg()(image), random_vit()(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough, rough_vit = random_vgg()(image), random_vit()(image)
    assert {feature.dtype for feature in rough} == {torch.bfloat16}
    for feature, other in zip(rough, exact, strict=True):
        assert (feature.float() - other).abs().mean() < 0.03 * other.abs().mean()
    assert rough_vit.class_token.dtype == rough_vit.keys.dtype == torch.float32
    assert (rough_vit.keys - exact_vit.keys).abs().mean() < 0.1 * exact_vit.keys.abs().mean()


# The vision transformer


def test_token_and_keys_by_a_computation_of_their_own():
    """Block by block with timm's model; the keys of the last block from the weights."""
    vit = load_vit("random", size=32)
    model = vit.model
    image = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        features = vit(image)
        patches = model.patch_embed.proj(normalised(image)).flatten(2).transpose(1, 2)  # (2, 6, D)
        places = model.pos_embed
        grid = places[:, 1:].unflatten(1, (14, 14)).movedim(-1, 1)
        grid = torch.nn.functional.interpolate(grid, (2, 3), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
        x = torch.cat((model.cls_token.expand(2, -1, -1) + places[:, :1], patches + grid), dim=1)
        for block in model.blocks[:-1]:
            x = block(x)
        last = model.blocks[-1]
        weight, bias = last.attn.qkv.weight, last.attn.qkv.bias
        width = weight.shape[1]
        keys = last.norm1(x) @ weight[width : 2 * width].T + bias[width : 2 * width]
        token = model.norm(last(x))[:, 0]
    assert keys.shape == (2, 1 + 2 * 3, 192)
    torch.testing.assert_close(features.keys, keys, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.class_token, token, rtol=1e-4, atol=1e-4)


def test_the_short_side_is_resized_and_both_are_whole_patches():
    sizes = {
        (32, 64, 96): (2, 3),
        (32, 96, 64): (3, 2),
        (32, 32, 50): (2, 3),
        (40, 64, 64): (2, 2),
        (16, 8, 200): (1, 25),
    }
    for (size, *image), patches in sizes.items():
        with torch.no_grad():
            features = VisionTransformerFeatures(random_vit().model, size)(torch.rand(1, 3, *image))
        assert features.keys.shape == (1, 1 + patches[0] * patches[1], 192)
    with pytest.raises(InputError, match=r"features.vit must be a patch \(16\) or more, got 15"):
        load_vit("random", size=15)


def test_images_are_reduced_as_pillow_does():
    """Bicubic and antialiased."""
    seen = []
    hook = random_vit().model.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 80, 120)
    with torch.no_grad():
        random_vit()(image)
    hook.remove()
    resized = [np.array(Image.fromarray(c.numpy()).resize((48, 32), Image.Resampling.BICUBIC)) for c in image[0]]
    torch.testing.assert_close(seen[0][0], normalised(torch.from_numpy(np.stack(resized))), rtol=0, atol=1e-4)


# Where the weights come from


@each_case(("write", "name"), [(torch.save, "weights.pth"), (save_file, "weights.safetensors")])
def test_weights_from_a_file(write: Callable[..., None], name: str, tmp_path: Path):
    """With what else published files hold, and in half precision too."""
    path = tmp_path / name
    write(vgg_state(), path)
    vgg = load_vgg(str(path))
    assert all(value.equal(random_vgg().layers.state_dict()[name]) for name, value in vgg.layers.state_dict().items())
    write({name: value.half() for name, value in vgg_state().items()}, path)
    weight = load_vgg(str(path)).layers[0].weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, vgg.layers[0].weight, rtol=1e-3, atol=1e-6)

    write(vit_state(), path)
    vit = load_vit(str(path), size=32)
    assert all(value.equal(random_vit().state_dict()[name]) for name, value in vit.state_dict().items())


def test_which_vit_it_is_is_read_off_the_file(tmp_path):
    model = timm.create_model("vit_small_patch8_224", num_classes=0)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    vit = load_vit(str(tmp_path / "weights.safetensors"), size=32)
    assert (vit.patch, vit.model.embed_dim, vit.model.blocks[0].attn.num_heads) == (8, 384, 6)
    with torch.no_grad():
        assert vit(torch.rand(1, 3, 32, 32)).keys.shape == (1, 1 + 4 * 4, 384)


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (__import__("os").mkdir, (self.path,))


def sentence(load: Callable[[str], Any], choice: str) -> str:
    with pytest.raises(InputError) as caught:
        load(choice)
    message = str(caught.value)
    assert message.startswith(f"features.{load.__name__[-3:]}")
    assert choice in message
    assert "\n" not in message
    return message


def test_a_wrong_file_gets_a_sentence(tmp_path):
    vgg, vit = vgg_state(), vit_state()
    less = {name: value for name, value in vgg.items() if name != "features.28.bias"}
    for load, content, expected in (
        (load_vgg, None, "is not a file"),
        (load_vgg, b"\x08\0\0\0\0\0\0\0nonsense", "cannot be read as weights"),
        (load_vgg, [torch.zeros(1)], "holds a list, not tensors by name"),
        (load_vgg, less, "it has no parameter features.28.bias"),
        (
            load_vgg,
            vgg | {"features.2.weight": torch.zeros(64, 32, 3, 3)},
            "(64, 32, 3, 3) where (64, 64, 3, 3) is wanted",
        ),
        (
            load_vgg,
            vgg | {"features.28.bias": torch.full((512,), torch.nan)},
            "28.bias holds values that are not finite",
        ),
        (
            load_vgg,
            vgg | {"features.28.bias": torch.zeros(512, dtype=torch.int64)},
            "values that are not finite numbers",
        ),
        (load_vit, vgg, "is not a tiny, small or base ViT"),
        (load_vit, vit | {"reg_token": torch.zeros(1, 4, 192)}, "another kind of ViT, it has the parameter reg_token"),
    ):
        path = tmp_path / ("weights.pth" if isinstance(content, list) else "weights.safetensors")
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            (torch.save if isinstance(content, list) else save_file)(content, path)
        assert expected in sentence(load, str(path))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path, planted = tmp_path / "weights.pth", tmp_path / "planted"
    path.write_bytes(pickle.dumps({"features.0.weight": Planted(planted)}, protocol=2))
    assert "cannot be read as weights" in sentence(load_vgg, str(path))
    assert not planted.exists()


def test_a_name_that_is_none_of_them_gets_the_list():
    for load, choice, known in (
        (load_vgg, "vgg19.nonsense", "vgg19.tv_in1k"),
        (load_vgg, "weights/vgg19", "vgg19.tv_in1k"),
        (load_vit, "vgg19.tv_in1k", "vit_small_patch8_224.dino"),
    ):
        message = sentence(load, choice)
        assert f"must be {known}" in message
        assert '"random"' in message


def test_the_names_are_those_of_timm():
    for name in ("vgg19.tv_in1k", "vit_small_patch8_224.dino", "vit_base_patch8_224.dino"):
        config = timm.get_pretrained_cfg(name)
        assert (config.hf_hub_id, config.custom_load) == (f"timm/{name}", False)
        torch.testing.assert_close((*config.mean, *config.std), (*MEAN.tolist(), *STD.tolist()))
