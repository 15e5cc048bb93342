"""Saved pipelines in a folder: the file format, what loading refuses, and that saving is all or nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import pickle
import shutil
import socket
import warnings
from collections.abc import Iterator
from dataclasses import replace as replaced
from pathlib import Path

import diffusers.utils.logging
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from subcases import each_case

from motion_core import (
    AVDNetwork,
    BackgroundPredictor,
    DenseMotionNetwork,
    ImageGenerator,
    InputError,
    KeypointDetector,
    MotionInterpPipeline,
    demo,
)
from motion_core.networks.base import MotionModel
from motion_core.saved_pipeline import save_whole

INDEX = "model_index.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
COORDINATES = {"keypoint_detector", "avd_network", "background_predictor"}


@pytest.fixture(scope="module")
def pipeline() -> MotionInterpPipeline:
    """Not to be changed."""
    return demo.random_pipeline(image_size=128)


@pytest.fixture(scope="module")
def saved(pipeline, tmp_path_factory) -> Path:
    """Its folder; not to be changed either."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_whole(pipeline, folder)
    return folder


@pytest.fixture(scope="module")
def saved_resnets(tmp_path_factory) -> Path:
    """The folder of a pipeline whose regressors are the published ones."""
    folder = tmp_path_factory.mktemp("resnets") / "model"
    save_whole(demo.random_pipeline(replaced(demo.SMALL, architecture="resnet18"), image_size=128), folder)
    return folder


def copied(saved: Path, tmp_path: Path) -> Path:
    """A copy of links, to replace files in."""
    shutil.copytree(saved, tmp_path / "model", copy_function=os.link)
    return tmp_path / "model"


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return copied(saved, tmp_path)


@pytest.fixture
def no_warnings() -> Iterator[None]:
    """Fails if anything is logged or warned of; diffusers' logger does not propagate to pytest's."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    loggers = [diffusers.utils.logging.get_logger("diffusers"), logging.getLogger()]
    for logger in loggers:
        logger.addHandler(handler)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield
    for logger in loggers:
        logger.removeHandler(handler)
    assert messages + [str(warning.message) for warning in warned] == []


def replace(file: Path, content: bytes | dict | list) -> None:
    """Write a file that may be a link to one that must not change."""
    file.unlink(missing_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def change_json(file: Path, **changes) -> None:
    replace(file, json.loads(file.read_bytes()) | changes)


def refusal(folder: Path | str, **options) -> str:
    """The one sentence by which loading is refused."""
    with pytest.raises(InputError) as caught:
        MotionInterpPipeline.from_pretrained(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert ". " not in message
    return message


def networks(pipeline: MotionInterpPipeline) -> dict[str, MotionModel]:
    """Those that it has, by name."""
    return {name: network for name, network in pipeline.components.items() if network is not None}


def assert_same_weights(one: MotionInterpPipeline, other: MotionInterpPipeline) -> None:
    assert one.components.keys() == other.components.keys()
    for name, network in networks(one).items():
        expected = other.components[name].state_dict()
        assert network.state_dict().keys() == expected.keys()
        for key, value in network.state_dict().items():
            assert value.dtype == expected[key].dtype, (name, key)
            assert value.equal(expected[key]), (name, key)


# The file format. A change here makes saved pipelines unreadable for older versions, or older ones for this version.

INDEX_CONTENT = {
    "_class_name": "MotionInterpPipeline",
    "keypoint_detector": ["motion_core", "KeypointDetector"],
    "dense_motion_network": ["motion_core", "DenseMotionNetwork"],
    "image_generator": ["motion_core", "ImageGenerator"],
    "avd_network": ["motion_core", "AVDNetwork"],
    "background_predictor": ["motion_core", "BackgroundPredictor"],
    "selector": [None, None],
    "view_fusion": [None, None],
    "image_size": [128, 128],
    "variant": "tpsmm",
}
# As the first pipelines were saved, before there were variants.
FIRST_INDEX = {
    name: value for name, value in INDEX_CONTENT.items() if name not in ("selector", "view_fusion", "variant")
}
CONFIGURATIONS = {
    "keypoint_detector": {
        **{"_class_name": "KeypointDetector", "num_splines": 5, "points_per_spline": 5, "image_channels": 3},
        **{"architecture": "resnet18", "shrink": 1},
    },
    "dense_motion_network": {
        **{"_class_name": "DenseMotionNetwork", "num_splines": 5, "points_per_spline": 5, "image_channels": 3},
        **{"block_expansion": 8, "max_features": 64, "num_blocks": 5, "shrink": 4, "num_masks": 4},
        **{"keypoint_variance": 0.01, "regularization": 0.01},
    },
    "image_generator": {
        **{"_class_name": "ImageGenerator", "image_channels": 3, "block_expansion": 8, "max_features": 32},
        **{"num_down_blocks": 3, "num_masks": 4},
    },
    "avd_network": {
        **{"_class_name": "AVDNetwork", "num_splines": 5, "points_per_spline": 5},
        **{"id_features": 128, "pose_features": 128, "hidden_features": [256, 512, 1024]},
    },
    "background_predictor": {
        **{"_class_name": "BackgroundPredictor", "image_channels": 3, "architecture": "resnet18", "shrink": 1},
    },
}


def read(file: Path) -> dict:
    """A JSON file without what depends on where and with which version it was saved."""
    content = json.loads(file.read_bytes())
    assert content.pop("_diffusers_version")
    content.pop("_name_or_path", None)
    return content


def test_files_of_a_saved_pipeline_are_the_format(saved_resnets):
    files = {path.relative_to(saved_resnets).as_posix() for path in saved_resnets.rglob("*") if path.is_file()}
    assert files == {"model_index.json"} | {
        f"{part}/{file}" for part in CONFIGURATIONS for file in ("config.json", "diffusion_pytorch_model.safetensors")
    }
    assert read(saved_resnets / INDEX) == INDEX_CONTENT
    assert {name: read(saved_resnets / name / "config.json") for name in CONFIGURATIONS} == CONFIGURATIONS
    for cls in (AVDNetwork, BackgroundPredictor, DenseMotionNetwork, ImageGenerator, KeypointDetector):
        assert [cls.__module__, cls.__name__] in INDEX_CONTENT.values(), "found by whoever reads the index"


def test_optional_parts_that_are_missing_are_null_in_the_format(pipeline, tmp_path, no_warnings):
    absent = ("avd_network", "background_predictor")
    folder = tmp_path / "model"
    MotionInterpPipeline(**pipeline.components | dict.fromkeys(absent), image_size=(128, 256)).save_pretrained(folder)
    assert read(folder / INDEX) == INDEX_CONTENT | {name: [None, None] for name in absent} | {"image_size": [128, 256]}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == CONFIGURATIONS.keys() - absent
    loaded = MotionInterpPipeline.from_pretrained(folder)
    assert loaded.avd_network is None
    assert loaded.background_predictor is None
    assert loaded.config["image_size"] == (128, 256)


def described(file: Path) -> tuple[int, str]:
    """How many weights a file has, and a digest of their names, dtypes and shapes."""
    lines = [f"{key} {value.dtype} {list(value.shape)}" for key, value in sorted(load_file(file).items())]
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def test_names_and_shapes_of_weights_are_the_format(saved_resnets):
    assert {name: described(saved_resnets / name / WEIGHTS) for name in CONFIGURATIONS} == {
        "keypoint_detector": (122, "aa66e8a3bad2cf03"),
        "dense_motion_network": (58, "a4d2ff9cfa58e7c0"),
        "image_generator": (78, "f9389d70286ca576"),
        "avd_network": (69, "ad37f968d1fb5fbf"),
        "background_predictor": (122, "1e7806a6b604f174"),
    }


@each_case("without", [(), ("avd_network", "background_predictor")])
def test_a_pipeline_saved_before_there_were_variants_is_tpsmm(pipeline, saved, tmp_path, without, no_warnings):
    folder = copied(saved, tmp_path)
    replace(folder / INDEX, {name: value for name, value in FIRST_INDEX.items() if name not in without})
    loaded = MotionInterpPipeline.from_pretrained(folder)
    assert loaded.config["variant"] == "tpsmm"
    assert loaded.config["image_size"] == (128, 128)
    missing = {"selector", "view_fusion", *without}
    assert {name for name, network in loaded.components.items() if network is None} == missing
    assert_same_weights(loaded, MotionInterpPipeline(**pipeline.components | dict.fromkeys(without), image_size=128))


VARIANT_CONFIGURATIONS = {
    "selector": {
        **{"_class_name": "OptimalInterpolationSelector", "num_candidates": 8, "features": 16, "image_channels": 3},
        **{"balance": 0.5, "fixed_time": 0.5, "default_strategy": "learned"},
    },
    "view_fusion": {
        **{"_class_name": "ViewFusion", "block_expansion": 8, "max_features": 32},
        **{"num_down_blocks": 3, "composed_view": False},
    },
}
VARIANT_WEIGHTS = {
    "selector": (7, "b2a8699c445d9a9d"),
    "view_fusion": (5, "5862f1672637e62c"),
}


@each_case("variant", ["int", "int_bt", "full", "v2"])
def test_a_variant_is_saved_and_loaded(variant, tmp_path, no_warnings):
    made, folder = demo.random_pipeline(image_size=128, variant=variant), tmp_path / "model"
    save_whole(made, folder)
    used = {"selector": "OptimalInterpolationSelector"} | ({"view_fusion": "ViewFusion"} if variant == "v2" else {})
    entries = {name: ["motion_core", cls] for name, cls in used.items()}
    assert read(folder / INDEX) == INDEX_CONTENT | {"variant": variant} | entries
    for name in used:
        assert read(folder / name / "config.json") == VARIANT_CONFIGURATIONS[name]
        assert described(folder / name / WEIGHTS) == VARIANT_WEIGHTS[name]
    loaded = MotionInterpPipeline.from_pretrained(folder)
    assert_same_weights(loaded, made)
    assert loaded.config["variant"] == variant
    assert not any(network.training for network in networks(loaded).values())


@pytest.fixture(scope="module")
def saved_v2(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("v2") / "model"
    save_whole(demo.random_pipeline(image_size=128, variant="v2"), folder)
    return folder


@each_case(
    ("changes", "message"),
    [
        ({"variant": "full"}, "variant 'full' must have no view_fusion"),
        ({"selector": [None, None]}, "variant 'v2' must have a selector"),
        *(({"variant": wrong}, "variant must be one of tpsmm, int, int_bt, full, v2, got") for wrong in ("v3", None, ["v2"])),
        ({"selector": ["motion_core", "ViewFusion"]}, "the component selector must be"),
    ],
)  # fmt: skip
def test_networks_that_are_not_the_variants_are_refused(saved_v2, tmp_path, changes, message):
    folder = copied(saved_v2, tmp_path)
    change_json(folder / INDEX, **changes)
    assert message in refusal(folder)


def test_the_digest_tells_pipelines_apart_that_differ_in_configuration_alone(saved):
    """A render is resumed only with the pipeline that it was begun with."""
    made = [demo.random_pipeline(image_size=128, variant="v2") for _ in range(3)]
    made[1].view_fusion.register_to_config(composed_view=True)
    made[2].register_to_config(image_size=(256, 256))
    assert len({pipeline.weights_digest() for pipeline in made}) == 3
    digests = [MotionInterpPipeline.from_pretrained(saved).weights_digest() for _ in range(2)]
    assert digests[0] == digests[1]


# Loading


def test_what_is_saved_is_what_is_loaded(pipeline, saved, no_warnings):
    loaded = MotionInterpPipeline.from_pretrained(saved)
    assert_same_weights(loaded, pipeline)
    assert loaded.config["image_size"] == (128, 128)
    assert not any(network.training for network in networks(loaded).values())
    assert loaded.model_name == "model"


def dtypes(pipeline: MotionInterpPipeline) -> dict[str, set[torch.dtype]]:
    return {
        name: {value.dtype for value in network.state_dict().values() if value.is_floating_point()}
        for name, network in networks(pipeline).items()
    }


MIXED = {name: {torch.float32 if name in COORDINATES else torch.bfloat16} for name in CONFIGURATIONS}


def test_in_bfloat16_networks_of_coordinates_stay_fp32(pipeline, saved, tmp_path, no_warnings):
    loaded = MotionInterpPipeline.from_pretrained(saved, dtype=torch.bfloat16)
    assert dtypes(loaded) == MIXED
    for name in COORDINATES:
        expected = pipeline.components[name].state_dict()
        for key, value in loaded.components[name].state_dict().items():
            assert value.equal(expected[key])

    loaded.save_pretrained(tmp_path / "half")
    for name, network in networks(loaded).items():
        stored = load_file(tmp_path / "half" / name / WEIGHTS)
        assert {key: value.dtype for key, value in stored.items()} == {
            key: value.dtype for key, value in network.state_dict().items()
        }
    assert_same_weights(MotionInterpPipeline.from_pretrained(tmp_path / "half", dtype=torch.bfloat16), loaded)


@each_case("options", [{}, {"dtype": torch.float32}])
def test_weights_saved_in_bfloat16_are_loaded_in_fp32_unless_asked_for(saved, tmp_path, no_warnings, options):
    half = MotionInterpPipeline.from_pretrained(saved, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    full = MotionInterpPipeline.from_pretrained(tmp_path / "half", **options)
    assert set().union(*dtypes(full).values()) == {torch.float32}
    for name, network in networks(full).items():
        expected = half.components[name].state_dict()
        for key, value in network.state_dict().items():
            assert value.equal(expected[key].to(value.dtype)), (name, key)


def test_a_pipeline_can_be_moved_to_bfloat16(saved, no_warnings):
    loaded = MotionInterpPipeline.from_pretrained(saved)
    assert loaded.to(torch.bfloat16) is loaded
    assert dtypes(loaded) == MIXED
    loaded.to("cpu", torch.float32)
    assert set().union(*dtypes(loaded).values()) == {torch.float32}


def test_parts_can_be_given_instead_of_the_saved_ones(folder, no_warnings):
    shutil.rmtree(folder / "image_generator")  # what is given need not be saved
    other = ImageGenerator(block_expansion=4, max_features=8)
    loaded = MotionInterpPipeline.from_pretrained(folder, avd_network=None, image_generator=other, image_size=256)
    assert loaded.avd_network is None
    assert loaded.image_generator is other
    assert loaded.config["image_size"] == (256, 256)
    assert loaded.background_predictor is not None


def test_loading_a_folder_needs_no_network(saved, monkeypatch, no_warnings):
    def connect(*_arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    for_the_hub = {"revision": "main", "token": False, "local_files_only": True, "force_download": True}
    MotionInterpPipeline.from_pretrained(saved, **for_the_hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as the environment variable, which is read at import
    MotionInterpPipeline.from_pretrained(saved)
    assert "outgoing traffic has been disabled" in refusal("org/model")


@each_case(
    ("options", "message"),
    [
        ({"revison": "main"}, "from_pretrained has no option 'revison'"),
        ({"device_map": "auto"}, "device_map: 'auto' is not known; leave it out and move the pipe"),
        ({"keypoint_detector": None}, "keypoint_detector must be a"),
        ({"dtype": "bfloat16"}, "dtype must be a"),
        ({"variant": "fp16"}, "cannot be loaded: You are trying to load the model files of the `variant=fp16`"),
    ],
)
def test_options_that_loading_does_not_take_are_refused(saved, options, message):
    assert message in refusal(saved, **options)


# What loading refuses


def test_what_is_no_folder_of_a_pipeline_is_refused(tmp_path):
    missing, file = tmp_path / "nothing", tmp_path / "checkpoint.pth.tar"
    file.write_bytes(b"x")
    assert refusal(missing) == f"{missing}: no such folder, and not a Hub id such as name/model either"
    assert "a file, not a saved pipeline; a published checkpoint must be converted" in refusal(file)
    assert refusal(tmp_path) == f"{tmp_path}: not a saved pipeline, it has no model_index.json"


DETECTORS = (
    "component keypoint_detector must be ['motion_core', 'KeypointDetector'] or ['motion_core', 'PersonDetector'], got"
)


@each_case(
    ("content", "message"),
    [
        *((content, "model_index.json: cannot be read as JSON")
          for content in (b"", b"{", b"\xff\xfe", b'{"_class_name": ')),
        *((json.dumps(content).encode(), "not MotionInterpPipeline")
          for content in ([], {}, "x", {"_class_name": "StableDiffusionPipeline"})),
        *(({"keypoint_detector": value}, DETECTORS)
          for value in (["motion_core", "ImageGenerator"], ["os", "path"], [None, None], None, "os", 1, {})),
        *(({"depth_network": value}, "unknown entry 'depth_network'")
          for value in (["motion_core", "KeypointDetector"], [None, None], 3)),
        *(({"image_size": value}, "size")
          for value in (100, [128, 100], [128], [128, 128, 128], "large", None, [], ["a", "b"])),
    ],
)  # fmt: skip
def test_an_index_that_is_not_the_formats_is_refused(saved, tmp_path, content, message):
    """Bytes are the whole file, a dict changes entries."""
    folder = copied(saved, tmp_path)
    if isinstance(content, bytes):
        replace(folder / INDEX, content)
    else:
        change_json(folder / INDEX, **content)
    assert message in refusal(folder)


@each_case("name", CONFIGURATIONS)
def test_a_missing_folder_is_refused(saved, tmp_path, name):
    folder = copied(saved, tmp_path)
    shutil.rmtree(folder / name)
    assert refusal(folder) == f"{folder}: incomplete, it has no folder {name}"


@each_case("file", ["config.json", WEIGHTS])
def test_a_missing_file_is_refused(saved, tmp_path, file):
    folder = copied(saved, tmp_path)
    (folder / "image_generator" / file).unlink()
    wanted = f"{folder}/image_generator: cannot be loaded as ImageGenerator: Error no file named {file}"
    assert wanted in refusal(folder)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"


@each_case(
    ("content", "message"),
    [
        (lambda _whole: b"", "Unable to load weights"),
        (lambda _whole: b"garbage" * 100, "Unable to load weights"),
        (lambda _whole: LFS_POINTER, "without having git-lfs installed"),
        *((lambda whole, kept=kept: whole[: int(kept * len(whole))], "cannot be loaded as ImageGenerator")
          for kept in (0.0001, 0.003, 0.5, 0.999)),
    ],
)  # fmt: skip
def test_weights_that_are_not_whole_safetensors_are_refused(saved, tmp_path, content, message):
    folder = copied(saved, tmp_path)
    file = folder / "image_generator" / WEIGHTS
    replace(file, content(file.read_bytes()))
    sentence = refusal(folder)
    assert sentence.startswith(f"{folder}/image_generator: ")
    assert message in sentence


def test_a_network_that_is_refused_is_named(saved, tmp_path):
    """tests/test_networks.py has all that a network refuses."""
    folder = copied(saved, tmp_path)
    file = folder / "image_generator" / WEIGHTS
    weights = load_file(file)
    del weights["final.weight"]
    file.unlink()
    save_file(weights, file)
    assert refusal(folder) == f"{folder}/image_generator: the weights lack parameter final.weight"


@each_case(
    ("content", "message"),
    [
        ({"depth": 3}, "ImageGenerator has no configuration depth"),
        ({"num_masks": 7}, "num_masks must be 1 or num_down_blocks + 1 = 4"),
        ({"block_expansion": "wide"}, "cannot be loaded as ImageGenerator"),
        ({"block_expansion": None}, "cannot be loaded as ImageGenerator"),
        *(({"quantization_config": quantized}, "no configuration quantization_")
          for quantized in ({"quant_method": "torchao", "quant_type": "int8wo"},
                            {"quant_method": "bitsandbytes", "load_in_8bit": True})),
        ({"auto_map": {"AutoModel": "evil.Network"}}, "no configuration auto_map"),
        *((content, "image_generator") for content in (b"", b"{", b"\xff\xfe")),
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_the_networks_is_refused(saved, tmp_path, content, message):
    folder = copied(saved, tmp_path)
    file = folder / "image_generator" / "config.json"
    replace(file, content if isinstance(content, bytes) else json.loads(file.read_bytes()) | content)
    assert message in refusal(folder)


@each_case("options", [{}, {"trust_remote_code": True}])
@each_case("file", ["None.py", "image_generator/motion_core.py"])
def test_code_in_a_saved_pipeline_is_not_run(saved, tmp_path, file, options):
    folder = copied(saved, tmp_path)
    (folder / file).write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass ImageGenerator: pass\n"
    )
    assert refusal(folder, **options) == f"{folder}/{file}: a saved pipeline holds weights and configurations, no code"
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_not_loaded(saved, tmp_path, monkeypatch):
    """Harmless ones, which torch would load; not even those are opened."""
    folder = copied(saved, tmp_path)
    for module, function in ((torch, "load"), (pickle, "load"), (pickle, "loads")):
        monkeypatch.setattr(module, function, lambda *_: pytest.fail("a pickle was opened"))
    file = folder / "image_generator" / WEIGHTS
    torch.save(load_file(file), file.with_name("diffusion_pytorch_model.bin"))
    file.unlink()
    for options in ({}, {"use_safetensors": False}, {"use_safetensors": None}):
        assert "safetensors" in refusal(folder, **options)


# Parts that do not belong together


@each_case(
    ("parts", "message"),
    [
        ({"keypoint_detector": {"num_splines": 6}}, "dense_motion_network must have the keypoint detector's num_splines 6"),
        ({"keypoint_detector": {"num_splines": 5, "points_per_spline": 4}}, "keypoint detector's points_per_spline 4, got 5"),
        ({"avd_network": {"num_splines": 4}}, "avd_network must have the keypoint detector's num_splines 5, got 4"),
        ({"image_generator": {"image_channels": 1}}, "image_generator must have the keypoint detector's image_channels 3"),
        ({"image_generator": {"num_masks": 1}}, "the 4 occlusion masks that dense_motion_network gives, got num_masks 1"),
        ({"image_size": 100}, "size must be (height, width) in multiples of 128 for this model, got (100, 100)"),
        ({"image_size": (128, 0)}, "size must be (height, width) in multiples of 128"),
        ({"image_size": (128, 128, 3)}, "size must be (height, width) in multiples of 128"),
    ],
)  # fmt: skip
def test_parts_that_do_not_belong_together_are_refused(pipeline, parts, message):
    classes = {"keypoint_detector": KeypointDetector, "avd_network": AVDNetwork, "image_generator": ImageGenerator}
    made = {name: classes[name](**value) if name in classes else value for name, value in parts.items()}
    with pytest.raises(InputError) as caught:
        MotionInterpPipeline(**pipeline.components | made)
    assert message in str(caught.value)


def test_parts_that_do_not_belong_together_are_refused_in_a_folder_too(folder, tmp_path):
    shutil.rmtree(folder / "avd_network")
    AVDNetwork(num_splines=4).save_pretrained(folder / "avd_network")
    assert "avd_network must have the keypoint detector's num_splines 5, got 4" in refusal(folder)


# Saving


def test_a_saved_can_be_read_by_others(saved):
    """safetensors makes files that only their owner can read."""
    assert {path.stat().st_mode & 0o777 for path in saved.rglob("*") if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in (saved, *saved.iterdir()) if path.is_dir()} == {0o755}


def test_saving_into_an_empty_folder_works(pipeline, tmp_path):
    (tmp_path / "model").mkdir()
    save_whole(pipeline, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / INDEX).is_file()


@each_case("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@each_case("exists", [False, True])
def test_saving_that_fails_leaves_nothing(pipeline, tmp_path, monkeypatch, error, exists):
    original, calls = MotionModel.save_pretrained, []

    def third_fails(network: MotionModel, folder: str, **options) -> None:
        calls.append(folder)
        original(network, folder, **options)
        if len(calls) == 3:
            raise error

    monkeypatch.setattr(MotionModel, "save_pretrained", third_fails)
    if exists:
        (tmp_path / "model").mkdir()
    expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        save_whole(pipeline, tmp_path / "model")
    assert len(calls) == 3
    assert Path(calls[0]).parent.parent == tmp_path, "on the same disk as the folder, or it cannot be renamed"
    if expected is InputError:
        assert str(caught.value) == f"{tmp_path}/model: cannot be written (No space left on device)"
    assert [path.name for path in tmp_path.rglob("*")] == (["model"] if exists else [])


def test_what_is_there_is_not_overwritten_and_no_folder_made_above(pipeline, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious").write_text("x")
    (tmp_path / "file").write_text("x")
    for place, message in [
        ("model", "model: exists already and is not an empty folder"),
        ("file", "file: exists already"),
        ("nothing/model", "nothing does not exist"),
    ]:
        with pytest.raises(InputError, match=message):
            save_whole(pipeline, tmp_path / place)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "model", "precious"]
    assert (tmp_path / "file").read_text() == "x"


def test_saving_a_loaded_pipeline_does_not_tell_where_it_came_from(saved, tmp_path):
    MotionInterpPipeline.from_pretrained(saved).save_pretrained(tmp_path / "again")

    for path in (tmp_path / "again").rglob("*.json"):
        assert str(saved.parent) not in path.read_text(), path
