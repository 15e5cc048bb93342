"""Saved pipelines on the Hub: the real client of huggingface_hub in a process of its own, against `fake_hub`."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import fake_hub
import numpy as np
import pytest
from fake_hub import BREAK_OFF, FakeHub, Repository
from safetensors.torch import save
from subcases import each_case

from motion_core import ImageGenerator, InputError, MotionInterpPipeline, demo
from train.features import load_vgg, load_vit

hub_server, hub, client = fake_hub.hub_server, fake_hub.hub, fake_hub.client  # pytest finds fixtures by name

MODEL = "org/model"
GENERATOR = "org/generator"
WEIGHTS = "diffusion_pytorch_model.safetensors"
PLANTED = "a_module_that_nobody_imports"


# What runs in the client's process


@cache
def random_pipeline() -> MotionInterpPipeline:
    """Small, and without the optional part whose weights are large."""
    parts = demo.random_pipeline(image_size=128).components | {"background_predictor": None}
    return MotionInterpPipeline(**parts, image_size=128)


@cache
def other_generator() -> ImageGenerator:
    """As in `random_pipeline`, with other weights."""
    return ImageGenerator.from_config(random_pipeline().image_generator.config)


def publish(name: str) -> None:
    random_pipeline().push_to_hub(name)


def publish_other_generator(name: str) -> None:
    other_generator().push_to_hub(name)


def load(name: str, **options) -> dict[str, str]:
    return weights(MotionInterpPipeline.from_pretrained(name, **options))


@cache
def published_weights() -> dict[str, str]:
    return weights(random_pipeline())


@cache
def other_weights() -> dict[str, str]:
    parts = random_pipeline().components | {"image_generator": other_generator()}
    return weights(MotionInterpPipeline(**parts, image_size=128))


def weights(pipeline: MotionInterpPipeline) -> dict[str, str]:
    """The sha256 of every weight, by component and name."""
    return {
        f"{component}.{name}": hashlib.sha256(value.numpy().tobytes()).hexdigest()
        for component, network in pipeline.components.items()
        if network is not None
        for name, value in network.state_dict().items()
    }


def pictures(name: str) -> tuple[np.ndarray, np.ndarray]:
    """What the published pipeline makes, and what it made before it was published."""
    inputs = demo.source_picture(128), demo.driving_frames(2, 128)
    published = MotionInterpPipeline.from_pretrained(name)
    return published(*inputs).frames, random_pipeline()(*inputs).frames


def load_offline(name: str) -> dict[str, str]:
    """As under HF_HUB_OFFLINE=1, which is read when huggingface_hub is imported."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    try:
        return load(name)
    finally:
        constants.HF_HUB_OFFLINE = False


def download(name: str) -> list[str]:
    """The files that `download` fetches."""
    folder = Path(MotionInterpPipeline.download(name))
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def save_and_push(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        random_pipeline().save_pretrained(folder, push_to_hub=True, repo_id=name)


def load_generator(name: str) -> bool:
    """Whether it is `other_generator`."""
    loaded = ImageGenerator.from_pretrained(name).state_dict()
    return all(value.equal(loaded[key]) for key, value in other_generator().state_dict().items())


def plant(folder: str) -> None:
    """Make a module that can be imported."""
    Path(folder, f"{PLANTED}.py").write_text("class Network: pass\n")
    sys.path.insert(0, folder)


def imported(module: str) -> bool:
    return module in sys.modules


def fetched_vgg() -> np.ndarray:
    return load_vgg("vgg19.tv_in1k").layers[28].weight.numpy()


def seconds_until_refused(choice: str) -> tuple[float, str]:
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        load_vit(choice)
    return time.monotonic() - start, str(caught.value)


# Helpers


@pytest.fixture
def model(hub_server: FakeHub, client) -> Repository:
    """The repository of a published pipeline."""
    if MODEL not in hub_server.repositories:
        client(publish, MODEL)
    return hub_server.repositories[MODEL]


@pytest.fixture
def refusal(client):
    """``refusal(name)``: the one sentence by which loading is refused."""

    def refuse(name: str, function=load, **options) -> str:
        with pytest.raises(InputError) as caught:
            client(function, name, **options)
        message = str(caught.value)
        assert "\n" not in message
        assert not re.search(r"(?<!\.)\. ", message)
        assert len(message) < 600
        return message

    return refuse


@pytest.fixture
def new_generator(hub_server: FakeHub, client) -> dict[str, bytes]:
    """What to commit to a pipeline's repository to replace its image generator."""
    if GENERATOR not in hub_server.repositories:
        client(publish_other_generator, GENERATOR)
    return {f"image_generator/{WEIGHTS}": hub_server.repositories[GENERATOR].at("main")[WEIGHTS]}


# Tests


def test_a_published_pipeline_has_the_same_weights_and_makes_the_same_pictures(client, model):
    parts = ("avd_network", "dense_motion_network", "image_generator", "keypoint_detector")
    files = {f"{part}/{file}" for part in parts for file in ("config.json", WEIGHTS)}
    assert set(model.at("main")) - {".gitattributes"} == {"README.md", "model_index.json"} | files
    assert client(load, MODEL) == client(published_weights)
    published, before = client(pictures, MODEL)
    assert published.shape == (2, 128, 128, 3)
    assert published.std() > 10
    np.testing.assert_allclose(published.astype(int), before, atol=1)


def test_saving_can_push_too(client, hub, model):
    client(save_and_push, "org/saved")
    pushed, expected = hub.repositories["org/saved"].at("main"), model.at("main")
    assert {name: pushed[name] for name in pushed if name != "README.md"} == {
        name: expected[name] for name in expected if name != "README.md"
    }


def test_a_single_network_can_be_published(client, new_generator, refusal):
    assert client(load_generator, GENERATOR)
    assert "org/no-generator" in refusal("org/no-generator", load_generator)


def test_a_branch_or_a_commit_can_be_asked_for(client, model, new_generator):
    commit = model.commit(model.at("main") | new_generator, branch="other")
    assert client(load, MODEL, revision="other") == client(other_weights)
    assert client(load, MODEL, revision=commit) == client(other_weights)
    assert client(load, MODEL) == client(published_weights) != client(other_weights)


def test_what_was_fetched_is_not_fetched_again(client, hub, model):
    expected = client(load, MODEL)
    hub.reset()
    assert client(load, MODEL) == expected
    assert hub.requests == [f"GET /api/models/{MODEL}/revision/main"]
    hub.reset()
    assert client(load, MODEL, revision=model.branches["main"]) == expected
    assert client(load, MODEL, local_files_only=True) == expected
    assert client(load_offline, MODEL) == expected
    assert hub.requests == []
    with hub.stopped():
        assert client(load, MODEL) == expected
        assert client(load, MODEL, local_files_only=True) == expected


def test_only_configuration_and_safetensors_are_fetched(client, hub, model):
    extra = {
        "evil.py": b"raise SystemExit",
        "None.py": b"raise SystemExit",
        "keypoint_detector/motion_core.py": b"raise SystemExit",
        "keypoint_detector/diffusion_pytorch_model.bin": b"pickle",
        "keypoint_detector/diffusion_flax_model.msgpack": b"x",
        "optimizer.safetensors": b"x" * 10_000,
        "samples/dance.mp4": b"x" * 10_000,
        "pytorch_model.bin": b"pickle",
    }
    hub.add("org/crowded", model.at("main") | extra)
    assert client(load, "org/crowded") == client(published_weights)
    asked = {request.rpartition("/resolve/")[2].partition("/")[2] for request in hub.requests if "/resolve/" in request}
    assert asked == set(model.at("main")) - {".gitattributes"}
    assert client(download, "org/crowded") == sorted(asked)


def test_who_may_not_see_a_repository_is_told_what_to_do(client, hub, model, refusal):
    hub.add("org/private", model.at("main"), private=True)
    assert refusal("org/private", token=False).endswith("no such repository on the Hub (or it is private)")
    assert client(load, "org/private") == client(published_weights)
    hub.add("org/gated", model.at("main"), gated=True)
    assert refusal("org/gated") == "org/gated: access is restricted; accept the conditions on the Hub and pass a token"


@each_case(
    ("name", "options", "message"),
    [
        ("org/nothing", {}, "no such repository on the Hub"),
        ("nothing", {}, "no such repository on the Hub"),
        ("org/nothing", {"token": False}, "no such repository on the Hub"),
        ("org/nothing", {"local_files_only": True}, "the Hub did not give it: Cannot find"),
        (MODEL, {"revision": "nothing"}, "no such revision on the Hub"),
        (MODEL, {"revision": "0" * 40}, "no such revision on the Hub"),
        ("org/model/main", {}, "not a Hub id"),
        ("../model", {}, "not a Hub id"),
        ("https://huggingface.co/org/model", {}, "not a Hub id"),
        ("org/a model", {}, "not a Hub id"),
        ("org/a--model", {}, "the Hub did not give it: Cannot have -- or .. in repo_id"),
    ],
)
def test_what_is_not_there_is_refused(model, refusal, name, options, message):
    sentence = refusal(name, **options)
    assert sentence.startswith(f"{name}: ")
    assert message in sentence


@each_case(("status", "message"), [(500, "500"), (503, "503"), (403, "403"), (BREAK_OFF, "peer closed")])
def test_a_failing_hub_is_reported(hub, model, refusal, status, message):
    hub.add("org/failing", model.at("main"))
    hub.failures["/api/models/org/failing/revision/main"] = status
    sentence = refusal("org/failing")
    assert "org/failing: no such folder, and the Hub did not give it" in sentence
    assert message in sentence


def test_a_hub_that_is_not_there_is_reported(hub, model, refusal):
    hub.add("org/unreachable", model.at("main"))
    with hub.stopped():
        assert "refused" in refusal("org/unreachable")


HOSTILE = [
    *({"image_generator": value} for value in (
        ["subprocess", "Popen"], ["diffusers", "UNet2DModel"], [PLANTED, "Network"], ["antigravity", "Network"],
        ["motion_core.demo", "Path"], ["motion_core", "InputError"], ["motion_core", "AVDNetwork"], "os",
        ["motion_core", "ImageGenerator", PLANTED], [[PLANTED], ["Network"]], {PLANTED: 1, "Network": 2},
    )),
    {"surprise": [PLANTED, "Network"]},
    {"avd_network": [PLANTED, "Network"]},
    {"_class_name": [PLANTED, "MotionInterpPipeline"]},
]  # fmt: skip


@each_case("changes", HOSTILE)
def test_an_index_that_names_other_code_is_refused_and_nothing_imported(client, hub, model, refusal, tmp_path, changes):
    client(plant, str(tmp_path))
    files = {name: content for name, content in model.at("main").items() if name.endswith("config.json")}
    files |= {f"{PLANTED}.py": b"", f"image_generator/{PLANTED}.py": b""}
    index = json.loads(model.at("main")["model_index.json"]) | changes
    hub.add("org/hostile", files | {"model_index.json": json.dumps(index).encode()})
    assert "model_index.json: " in refusal("org/hostile")
    assert not client(imported, PLANTED)
    assert not client(imported, "antigravity")


@each_case("index", [False, True])
def test_pickled_weights_are_not_fetched(hub, model, refusal, index):
    folder = "image_generator"
    files = {name: content for name, content in model.at("main").items() if name != f"{folder}/{WEIGHTS}"}
    files[f"{folder}/diffusion_pytorch_model.bin"] = pickle.dumps({})
    if index:
        shards = {"metadata": {}, "weight_map": {"final.weight": "diffusion_pytorch_model.bin"}}
        files[f"{folder}/{WEIGHTS}.index.json"] = json.dumps(shards).encode()
    hub.add("org/pickled", files)
    assert folder in refusal("org/pickled")
    assert not [request for request in hub.requests if ".bin" in request]


def test_weights_of_feature_networks_are_fetched_once(hub, client):
    layers = load_vgg("random:8").layers.state_dict()
    weights = {f"features.{name}": value.contiguous() for name, value in layers.items()}
    hub.add("timm/vgg19.tv_in1k", {"model.safetensors": save(weights)})
    np.testing.assert_array_equal(client(fetched_vgg), layers["28.weight"])
    hub.reset()
    with hub.stopped():
        np.testing.assert_array_equal(client(fetched_vgg), layers["28.weight"])
    assert hub.requests == []


def test_without_the_hub_the_sentence_says_which_file_to_give_and_where_at_once(hub, client):
    with hub.stopped():
        seconds, message = client(seconds_until_refused, "vit_small_patch8_224.dino")
    assert seconds < 5
    assert message.startswith("features.vit: the Hub did not give vit_small_patch8_224.dino (")
    assert "set features.vit to the path of a file" in message
    assert "model.safetensors of timm/vit_small_patch8_224.dino" in message
    _, message = client(seconds_until_refused, "vit_base_patch8_224.dino")
    assert "the Hub did not give vit_base_patch8_224.dino" in message, "nor where the Hub has no such repository"
