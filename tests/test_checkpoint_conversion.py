"""Published checkpoints in, networks out; and everything that is not one refused with a sentence, nothing executed."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import StateDicts, antialias_kernel, single_mask, state_dicts, write_checkpoint
from subcases import each_case
from torch import nn

from motion_core import (
    AVDNetwork,
    BackgroundPredictor,
    DenseMotionNetwork,
    ImageGenerator,
    InputError,
    KeypointDetector,
)
from motion_core.checkpoint_conversion import (
    OPTIONAL,
    REQUIRED,
    ConvertedNetworks,
    convert,
    published_state_dict,
    read_checkpoint,
)

NAMES = REQUIRED + OPTIONAL
MOTION, KEYPOINTS, GENERATOR, AVD = "dense_motion_network", "kp_detector", "inpainting_network", "avd_network"
KERNEL = "down.weight"


def load(path: Path) -> ConvertedNetworks:
    return convert(read_checkpoint(path))


def by_name(converted: ConvertedNetworks) -> dict[str, nn.Module | None]:
    """Our networks under the published names of theirs."""
    networks = (converted.keypoint_detector, converted.dense_motion_network, converted.image_generator)
    return dict(zip(NAMES, (*networks, converted.avd_network, converted.background_predictor), strict=True))


def assert_holds(converted: ConvertedNetworks, networks: StateDicts) -> None:
    """Every weight arrived, none is made up, and all are fp32."""
    for name, network in by_name(converted).items():
        if network is None:
            assert name not in networks
            continue
        assert not network.training
        back = published_state_dict(network, name)
        assert back.keys() == networks[name].keys()
        for key, value in networks[name].items():
            assert back[key].dtype == (torch.float32 if value.is_floating_point() else torch.int64)
            tolerance = 1e-3 if key == KERNEL else 0  # it is computed, and may have been saved in another precision
            torch.testing.assert_close(back[key], value.to(back[key].dtype), rtol=0, atol=tolerance)


@pytest.fixture
def networks(golden) -> StateDicts:
    """Published state dicts of the case tiny-128; the dicts may be changed, the tensors may not."""
    return golden.state_dicts()


@pytest.fixture
def backbone(networks: StateDicts) -> StateDicts:
    return {name: networks[name] for name in REQUIRED}


# What loads


def test_a_published_file_converts(networks, golden, tmp_path):
    converted = load(write_checkpoint(tmp_path / "vox.pth.tar", networks))
    assert_holds(converted, networks)
    motion, generator, avd = (
        network.config for network in (converted.dense_motion_network, converted.image_generator, converted.avd_network)
    )
    published = golden.config["dense_motion_params"]
    assert (motion.num_splines, motion.points_per_spline) == (golden.config["common_params"]["num_tps"], 5)
    for name in ("block_expansion", "max_features", "num_blocks"):
        assert motion[name] == published[name]
    assert (motion.shrink, motion.num_masks, motion.keypoint_variance, motion.regularization) == (4, 4, 0.01, 0.01)
    for name in ("block_expansion", "max_features"):
        assert generator[name] == golden.config["generator_params"][name]
    assert (generator.num_down_blocks, generator.num_masks) == (3, 4)
    assert (avd.id_features, avd.pose_features) == (128, 128)


CONFIGURATIONS: list[dict[type[nn.Module], dict[str, Any]]] = [
    {  # three splines of four points
        KeypointDetector: {"num_splines": 3, "points_per_spline": 4},
        DenseMotionNetwork: {"num_splines": 3, "points_per_spline": 4, "block_expansion": 4, "max_features": 32},
        ImageGenerator: {"block_expansion": 4, "max_features": 16},
        AVDNetwork: {"num_splines": 3, "points_per_spline": 4, "id_features": 7, "pose_features": 9, "hidden_features": (12,)},
    },
    {  # two levels, three masks, shrink 2
        KeypointDetector: {"num_splines": 2},
        DenseMotionNetwork: {"num_splines": 2, "block_expansion": 6, "max_features": 24, "num_blocks": 3, "shrink": 2,
                             "num_masks": 3},
        ImageGenerator: {"block_expansion": 5, "max_features": 11, "num_down_blocks": 2, "num_masks": 3},
        AVDNetwork: {"num_splines": 2, "hidden_features": (8, 6)},
        BackgroundPredictor: {},
    },
    {  # all widths the same, shrink 8, one spline
        KeypointDetector: {"num_splines": 1, "points_per_spline": 3},
        DenseMotionNetwork: {"num_splines": 1, "points_per_spline": 3, "block_expansion": 8, "max_features": 8,
                             "num_blocks": 1, "shrink": 8, "num_masks": 4},
        ImageGenerator: {"block_expansion": 8, "max_features": 8},
    },
    {  # not shrunk, four levels, grey
        KeypointDetector: {"num_splines": 2, "image_channels": 1},
        DenseMotionNetwork: {"num_splines": 2, "image_channels": 1, "block_expansion": 4, "max_features": 64,
                             "num_blocks": 5, "shrink": 1, "num_masks": 5},
        ImageGenerator: {"image_channels": 1, "block_expansion": 4, "max_features": 64, "num_down_blocks": 4, "num_masks": 5},
    },
    {  # a single mask
        KeypointDetector: {"num_splines": 2},
        DenseMotionNetwork: {"num_splines": 2, "block_expansion": 4, "max_features": 16, "num_masks": 1},
        ImageGenerator: {"block_expansion": 4, "max_features": 16, "num_masks": 1},
    },
]  # fmt: skip


@each_case("configuration", CONFIGURATIONS)
def test_the_configuration_is_read_off_names_and_shapes(configuration):
    classes = (KeypointDetector, DenseMotionNetwork, ImageGenerator, AVDNetwork, BackgroundPredictor)
    ours = {name: cls(**configuration[cls]) for name, cls in zip(NAMES, classes, strict=True) if cls in configuration}
    shapes = [
        (f"{name}.{key}", tuple(value.shape))
        for name, network in ours.items()
        for key, value in published_state_dict(network, name).items()
    ]
    networks = state_dicts(shapes, configuration[DenseMotionNetwork].get("shrink", 4))
    converted = convert(networks)
    assert_holds(converted, networks)
    for name, network in by_name(converted).items():
        if network is not None:
            for key, value in configuration[type(network)].items():
                if key != "max_features":  # it shows only where a level reaches it
                    assert network.config[key] == value, f"{name}.{key}"


def test_a_single_mask_file_converts_and_runs(backbone, tmp_path):
    networks = single_mask(backbone)
    assert len(networks[MOTION]) < len(backbone[MOTION])
    converted = load(write_checkpoint(tmp_path / "file", networks))
    assert_holds(converted, networks)
    assert converted.dense_motion_network.config.num_masks == converted.image_generator.config.num_masks == 1
    image = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        keypoints = converted.keypoint_detector(image)
        network = converted.dense_motion_network
        motion = network(network.shrink_source(image), keypoints, converted.keypoint_detector(1 - image))
        assert [mask.shape for mask in motion.occlusion_masks] == [(1, 1, 32, 32)]
        assert converted.image_generator(converted.image_generator.encode(image), motion).shape == image.shape


@each_case("absent", [("avd_network",), ("bg_predictor",), OPTIONAL])
def test_optional_networks_may_be_absent(networks, absent):
    kept = {name: state for name, state in networks.items() if name not in absent}
    assert_holds(convert(kept), kept)


def test_a_file_that_holds_none_for_an_optional_network_lacks_it(backbone, tmp_path):
    assert_holds(load(write_checkpoint(tmp_path / "file", backbone, **dict.fromkeys(OPTIONAL))), backbone)


def test_converting_the_published_form_of_our_networks_gives_them_back(tiny_pipeline_parts):
    ours = dict(zip(NAMES, tiny_pipeline_parts.values(), strict=True))
    converted = convert({name: published_state_dict(network, name) for name, network in ours.items()})
    for name, network in by_name(converted).items():
        expected = ours[name].state_dict()
        assert network.state_dict().keys() == expected.keys()
        for key, value in network.state_dict().items():
            assert torch.equal(value, expected[key]), f"{name}.{key}"
        public = {key: value for key, value in ours[name].config.items() if not key.startswith("_")}
        assert {key: network.config[key] for key in public} == public


def test_weights_of_another_precision_become_fp32(backbone):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        networks = {
            name: {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
            for name, state in backbone.items()
        }
        assert_holds(convert(networks), networks)


def test_older_files_ordered_dicts_and_parameters_load(backbone, tmp_path):
    networks = {
        name: OrderedDict((key, nn.Parameter(v) if v.is_floating_point() else v) for key, v in state.items())
        for name, state in backbone.items()
    }
    torch.save({**networks, "epoch": 1}, tmp_path / "file", _use_new_zipfile_serialization=False)
    assert_holds(load(tmp_path / "file"), backbone)


@each_case("shrink", [2, 4, 8, 16])
def test_the_kernel_that_files_contain_tells_the_shrink(backbone, shrink):
    """Only the kernel is right for it; the rest then does not fit, except at 4."""
    backbone[MOTION][KERNEL] = torch.from_numpy(antialias_kernel(shrink)).repeat(3, 1, 1, 1)
    if shrink == 4:
        assert convert(backbone).dense_motion_network.config.shrink == 4
    else:
        with pytest.raises(InputError, match=r"dense_motion_network"):
            convert(backbone)


# What is refused: files


class Trap:
    """Unpickled, it makes a file."""

    name = f"{os.name}.system"

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.path}",)


class QuietTrap(Trap):
    """The same without a shell."""

    name = "eval"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return eval, (f"open({self.path!r}, 'w')",)


def stand_in() -> dict[str, dict[str, torch.Tensor]]:
    """What the reader takes for a checkpoint: the right networks, with one small tensor each."""
    return {name: {"weight": torch.arange(6.0).reshape(2, 3)} for name in REQUIRED}


def as_tar(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


@each_case("trap", [Trap, QuietTrap])
@each_case(
    ("wrap", "unread"),
    [
        (lambda trap: pickle.dumps(trap, protocol=5), "not a pickle of tensors"),
        (lambda trap: as_tar(pickle.dumps(trap, protocol=2)), "not a pickle of tensors"),
        (lambda trap: pickle.dumps(trap, protocol=2), None),
        (lambda trap: pickle.dumps(trap, protocol=0), None),
        (lambda trap: pickle.dumps(dict.fromkeys(REQUIRED, trap), protocol=2), None),
        (lambda trap: saved(trap), None),
        (lambda trap: saved({**stand_in(), "epoch": trap}), None),
        (lambda trap: saved({**stand_in(), KEYPOINTS: {"weight": trap}}), None),
        (lambda trap: saved({**stand_in(), "epoch": trap}, _use_new_zipfile_serialization=False), None),
    ],
)
def test_nothing_in_a_file_is_executed(trap, wrap, unread, tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "file.pth.tar"
    path.write_bytes(wrap(trap(sprung)))
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert not sprung.exists()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "weights_only" not in message, "torch's advice to load it unsafely is not passed on"
    if unread is None:
        assert message.endswith(f"refused, it asks to run {trap.name}; a checkpoint may hold tensors only")
    else:
        assert unread in message

    pickle.loads(pickle.dumps(trap(sprung)))
    assert sprung.exists(), "the trap must work for this test to mean anything"


def truncated_zip() -> bytes:
    whole = saved(stand_in())
    return whole[: len(whole) // 2]


def compressed_zip() -> bytes:
    """Sixteen megabytes of zeros in a few kilobytes; torch would unpack it."""
    content, stream = {**stand_in(), KEYPOINTS: {"weight": torch.zeros(2048, 2048)}}, io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(content))) as plain,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    return stream.getvalue()


NO_CHECKPOINT, NO_STATE = r"not a checkpoint, or a damaged one", r"dense_motion_network is not a state dict"
FILES = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
     r"a Git LFS pointer, not the checkpoint itself; fetch it with `git lfs pull`"),
    (b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>", r"a web page, not a checkpoint"),
    (b"<HTML><body>Sign in</body></HTML>", r"a web page, not a checkpoint"),
    (b"", r"the file is empty"),
    (b"epoch: 3\nloss: 0.1\n", NO_CHECKPOINT),
    (np.random.default_rng(0).bytes(5000), NO_CHECKPOINT),
    (truncated_zip(), NO_CHECKPOINT),
    (b"PK\x05\x06" + bytes(18), NO_CHECKPOINT),  # a zip of something else
    (compressed_zip(), r"refused, it unpacks to more than its size"),
    (saved([1, 2, 3]), r"it holds a list, not a dict of networks"),
    (saved(torch.zeros(3)), r"it holds a Tensor, not a dict of networks"),
    (saved({"weight": torch.zeros(3)}), r"the network kp_detector is missing; the file holds weight"),
    (saved({}), r"the network kp_detector is missing; the file holds nothing"),
    (saved({name: value for name, value in stand_in().items() if name != GENERATOR}),
     r"the network inpainting_network is missing; the file holds dense_motion_network, kp_detector"),
    (saved({**stand_in(), MOTION: {}}), NO_STATE),
    (saved({**stand_in(), MOTION: [torch.zeros(2)]}), NO_STATE),
    (saved({**stand_in(), AVD: 3}), r"avd_network is not a state dict"),
    (saved({**stand_in(), MOTION: {"w": 3.0}}), r"dense_motion_network\.w is not a plain tensor"),
    (saved({**stand_in(), MOTION: {3: torch.zeros(1)}}), r"dense_motion_network\.3 is not a plain tensor"),
]  # fmt: skip


@each_case(("content", "message"), FILES)
def test_a_file_that_is_no_checkpoint_is_refused_with_a_sentence(content, message, tmp_path):
    path = tmp_path / "file.pth.tar"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such file$"):
        read_checkpoint(tmp_path / "file.pth.tar")
    with pytest.raises(InputError, match=r"a folder, not a checkpoint file$"):
        read_checkpoint(tmp_path)


@each_case(
    "tensor",
    [
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(4).as_strided((1000, 4), (0, 1)),
        torch.empty(10**6, 10**6, device="meta"),
        torch.zeros(2, 3).to_sparse(),
        torch.zeros(2, 3, dtype=torch.complex64),
        torch.zeros(2, 3, dtype=torch.bool),
        torch.zeros(2, 3, dtype=torch.uint8),
        torch.zeros(2, 3).to(torch.float8_e4m3fn),
    ],
)
def test_a_tensor_that_is_not_plain_numbers_in_memory_is_refused(tensor, tmp_path):
    torch.save({**stand_in(), MOTION: {"maps.weight": tensor}}, tmp_path / "file")
    with pytest.raises(InputError, match=r"dense_motion_network\.maps\.weight is not a plain tensor$"):
        read_checkpoint(tmp_path / "file")


# What is refused: networks


def without(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    kept = {key: value for key, value in state.items() if not key.startswith(prefix)}
    assert len(kept) < len(state)
    return kept


def with_(state: dict[str, torch.Tensor], key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**state, key: value}


def tampered(state: dict[str, torch.Tensor], key: str, change: Callable) -> dict[str, torch.Tensor]:
    return {**state, key: change(state[key])}


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[0] = torch.nan
    return tensor


FC, MAPS = "fg_encoder.fc.weight", "maps.weight"
Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
BACKGROUND = "bg_predictor"
NETWORKS: list[tuple[str, Change, str]] = [
    # a parameter that is missing
    (KEYPOINTS, lambda s: without(s, FC), r"kp_detector has no parameter fg_encoder\.fc\.weight"),
    (KEYPOINTS, lambda s: without(s, "fg_encoder.conv1"), r"kp_detector has no parameter fg_encoder\.conv1\.weight"),
    (KEYPOINTS, lambda s: without(s, "fg_encoder.layer3.0.bn1.running_var"),
     r"kp_detector has no parameter fg_encoder\.layer3\.0\.bn1\.running_var, which its other shapes ask for"),
    (MOTION, lambda s: without(s, "maps"), r"dense_motion_network has no parameter maps\.weight"),
    (MOTION, lambda s: without(s, "hourglass.encoder"), r"dense_motion_network has no hourglass\.encoder"),
    (MOTION, lambda s: without(s, "hourglass.decoder"), r"dense_motion_network has no parameter hourglass\.decoder"),
    (MOTION, lambda s: without(s, "occlusion"), r"fit no configuration: num_masks must be 1, or 3 to 7 .*got 0"),
    (MOTION, lambda s: without(s, "up."), r"dense_motion_network has no parameter up\.0\.conv\.bias"),
    (GENERATOR, lambda s: without(s, "down_blocks"), r"fit no configuration: .*num_down_blocks=0"),
    (GENERATOR, lambda s: without(s, "resblock.3."), r"inpainting_network has no parameter resblock\.3\."),
    (GENERATOR, lambda s: without(s, "first"), r"inpainting_network has no parameter first\.conv\.weight"),
    (AVD, lambda s: without(s, "id_encoder"), r"avd_network\.id_encoder has fewer than two linear layers"),
    (AVD, lambda s: without(s, "pose_encoder"), r"avd_network has no parameter pose_encoder\.9\.weight"),
    (AVD, lambda s: without(s, "decoder"), r"avd_network has no parameter decoder\.0\.bias"),
    (BACKGROUND, lambda s: without(s, "bg_encoder.fc"), r"bg_predictor has no parameter bg_encoder\.fc"),
    # one too many
    (GENERATOR, lambda s: with_(s, "attention.weight", torch.zeros(2, 2)),
     r"inpainting_network has the unknown parameter attention\.weight, which fits no configuration$"),
    (MOTION, lambda s: with_(s, "encoder.0.conv.bias", torch.zeros(16)),  # our own name
     r"dense_motion_network has the unknown parameter encoder\.0\.conv\.bias"),
    (MOTION, lambda s: with_(s, "hourglass.encoder.down_blocks.9.conv.weight", torch.zeros(2, 2)),
     r"dense_motion_network has no parameter hourglass\.encoder\.down_blocks\.5\.conv\.weight"),
    (AVD, lambda s: with_(s, "id_encoder.0012.weight", torch.zeros(2, 2)),
     r"avd_network has the unknown parameter id_encoder\.0012\.weight"),
    (AVD, lambda s: with_(s, f"id_encoder.{'9' * 5000}.weight", torch.zeros(2, 2)),  # too long to be a number
     r"avd_network has the unknown parameter id_encoder\.999"),
    # another shape
    (AVD, lambda s: tampered(s, "decoder.3.weight", lambda w: w.T.contiguous()),
     r"decoder\.3\.weight has shape \((1024, 512|512, 1024)\) where the others ask for \((1024, 512|512, 1024)\)$"),
    (GENERATOR, lambda s: tampered(s, "resblock.2.conv1.weight", lambda w: w[:, :-1].clone()),
     r"inpainting_network\.resblock\.2\.conv1\.weight has shape \(\d+, \d+, 3, 3\) where the others ask for"),
    (KEYPOINTS, lambda s: with_(s, FC, torch.zeros(50)), r"kp_detector\.fg_encoder\.fc\.weight has shape \(50,\)"),
    (KEYPOINTS, lambda s: with_(s, "fg_encoder.conv1.weight", torch.zeros(1, 20000)),
     r"kp_detector\.fg_encoder\.conv1\.weight has shape \(1, 20000\), which fits no configuration$"),
    (MOTION, lambda s: with_(s, MAPS, torch.zeros(1, 67, 7, 7)), r"which are not whole points of the 0 splines"),
    (KEYPOINTS, lambda s: with_(s, FC, torch.zeros(52, 512)),
     r"kp_detector gives 52 numbers, which are not whole points of the 5 splines of dense_motion_network$"),
    (KEYPOINTS, lambda s: with_(s, FC, torch.zeros(20, 512)), r"points_per_spline must be 3 or more .*got 2"),
    (MOTION, lambda s: without(s, "occlusion.3"),
     r"dense_motion_network\.occlusion\.0\.weight has shape \(1, 32, 7, 7\) where the others ask for \(1, 52, 7, 7\)$"),
    (GENERATOR, lambda s: without(s, "down_blocks.2"),
     r"inpainting_network: its shapes fit no configuration: num_masks must be 1 or num_down_blocks \+ 1 = 3 .*got 4$"),
    (MOTION, lambda s: without(without(s, "occlusion.3"), "occlusion.2"),
     r"dense_motion_network: its shapes fit no configuration: num_masks must be 1, or 3 to 7 .*got 2"),
    # another content
    (GENERATOR, lambda s: tampered(s, "final.weight", with_nan),
     r"inpainting_network\.final\.weight holds values that are not finite$"),
    (KEYPOINTS, lambda s: tampered(s, FC, lambda w: w / 0),
     r"kp_detector\.fg_encoder\.fc\.weight holds values that are not finite"),
    (GENERATOR, lambda s: tampered(s, "final.bias", lambda w: w.long()), r"final\.bias holds torch\.int64 where"),
    (MOTION, lambda s: tampered(s, KERNEL, lambda w: (w**1.1) / (w**1.1).sum(dim=(2, 3), keepdim=True)),
     r"dense_motion_network\.down\.weight of shape \(3, 1, 13, 13\) is not a known antialias kernel$"),
    (MOTION, lambda s: tampered(s, KERNEL, lambda w: w[..., 1:-1]), r"shape \(3, 1, 13, 11\) is not a known"),
    (MOTION, lambda s: tampered(s, KERNEL, lambda w: w.long()), r"is not a known antialias kernel"),
    (MOTION, lambda s: tampered(s, KERNEL, with_nan), r"is not a known antialias kernel"),
]  # fmt: skip


@each_case(("network", "change", "message"), NETWORKS)
def test_a_network_that_fits_no_configuration_is_refused_with_a_sentence(
    networks, network, change, message, monkeypatch
):
    for draw in ("kaiming_normal_", "kaiming_uniform_", "normal_"):  # of weights that are then read
        monkeypatch.setattr(nn.init, draw, lambda weight, *_, **__: weight)
    kept = {name: state for name, state in networks.items() if name in (*REQUIRED, network)}
    kept[network] = change(kept[network])
    with pytest.raises(InputError, match=message) as caught:
        convert(kept)
    assert "\n" not in str(caught.value)


# Damage, at random


def loads_or_is_refused(read: Callable[[], Any]) -> bool:
    """Whether it loaded; any exception but InputError goes through."""
    try:
        read()
    except InputError:
        return False
    return True


@each_case("legacy", [False, True])
def test_damaged_bytes_load_or_are_refused(legacy, tmp_path):
    """In a small file nearly every byte is structure."""
    whole, rng = saved(stand_in(), _use_new_zipfile_serialization=not legacy), np.random.default_rng(0)
    path, refused = tmp_path / "file", 0
    for _ in range(150):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[position] = rng.integers(0, 256)
        if rng.random() < 0.2:
            damaged = damaged[: rng.integers(1, len(whole))]
        path.write_bytes(damaged)
        refused += not loads_or_is_refused(lambda: read_checkpoint(path))
    assert refused > 20


def test_damage_in_a_real_file_loads_or_is_refused(backbone, tmp_path):
    path, rng = write_checkpoint(tmp_path / "file", single_mask(backbone)), np.random.default_rng(1)
    assert loads_or_is_refused(lambda: load(path))
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(6):
            position = int(rng.integers(0, 40_000)) if rng.random() < 0.6 else size - 1 - int(rng.integers(0, 40_000))
            file.seek(position)
            before = file.read(1)
            file.seek(position)
            file.write(bytes([before[0] ^ (1 << int(rng.integers(0, 8)))]))
            file.flush()
            loads_or_is_refused(lambda: load(path))
            file.seek(position)
            file.write(before)
            file.flush()
    assert loads_or_is_refused(lambda: load(path)), "all damage was undone"


def test_tampered_networks_load_or_are_refused(networks):
    """Names dropped, doubled and swapped, tensors cut, flattened and exchanged."""
    del networks["bg_predictor"]
    rng = np.random.default_rng(2)
    for _ in range(12):
        name = str(rng.choice(list(networks)))
        state = dict(networks[name])
        key, other = (str(key) for key in rng.choice(list(state), 2, replace=False))
        match int(rng.integers(0, 7)):
            case 0:
                del state[key]
            case 1:
                state[key + ".1"] = state[key]
            case 2:
                state[other] = state.pop(key)
            case 3:
                state[key], state[other] = state[other], state[key]
            case 4:
                state[key] = state[key].flatten()
            case 5:
                state[key] = state[key][None]
            case 6:
                state[key] = torch.zeros(0)
        loads_or_is_refused(lambda tampered={**networks, name: state}: convert(tampered))


# What files of others have beside plain networks


def test_the_prefix_of_data_parallel_is_taken_off(networks, tmp_path):
    networks = {name: state for name, state in networks.items() if name != "bg_predictor"}
    prefixed = {name: {f"module.{key}": value for key, value in state.items()} for name, state in networks.items()}
    assert_holds(load(write_checkpoint(tmp_path / "file", prefixed | {MOTION: networks[MOTION]})), networks)


def test_a_missing_count_of_batches_is_nothing(backbone):
    kept = {
        name: {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
        for name, state in backbone.items()
    }
    assert sum(map(len, kept.values())) < sum(map(len, backbone.values()))
    converted = by_name(convert(kept))
    for name, state in kept.items():
        back = published_state_dict(converted[name], name)
        for key, value in state.items():
            torch.testing.assert_close(back[key], value, rtol=0, atol=1e-3 if key == KERNEL else 0)


@each_case("new", [True, False])
def test_values_of_numpy_beside_the_networks_are_left_out_and_not_made(new, tmp_path):
    beside = {"epoch": np.int64(3), "loss": np.float32(0.5), "best": np.bool_(True), "all": np.arange(3.0)}
    torch.save({**stand_in(), **beside}, tmp_path / "file", _use_new_zipfile_serialization=new)
    assert read_checkpoint(tmp_path / "file").keys() == set(REQUIRED)
    torch.save({**stand_in(), KEYPOINTS: {"weight": np.float64(1)}}, tmp_path / "file")
    with pytest.raises(InputError, match=r"kp_detector\.weight is not a plain tensor$"):
        read_checkpoint(tmp_path / "file")


@each_case(
    ("project", "networks"),
    [
        ("the First Order Motion Model (FOMM)",
         {"generator": ["first.conv.weight", "dense_motion_network.mask.weight"],
          "kp_detector": ["predictor.encoder.down_blocks.0.conv.weight", "kp.weight", "jacobian.weight"]}),
        ("the First Order Motion Model (FOMM)", {"kp_detector": ["module.kp.weight", "module.jacobian.weight"]}),
        ("Articulated Animation (MRAA)",
         {"generator": ["pixelwise_flow_predictor.mask.weight"], "region_predictor": ["regions.weight"]}),
        ("Articulated Animation (MRAA)", {"region_predictor": ["module.regions.weight"]}),
    ],
)  # fmt: skip
def test_checkpoints_of_other_projects_are_named(project, networks, tmp_path):
    torch.save({name: {key: torch.zeros(2) for key in keys} for name, keys in networks.items()}, tmp_path / "file")
    with pytest.raises(InputError) as caught:
        read_checkpoint(tmp_path / "file")
    expected = f"file: a checkpoint of {project}, not of TPSMM, which alone can be converted"
    assert str(caught.value).endswith(expected)
