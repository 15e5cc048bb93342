"""Detectors and embedders: the real ones where they are installed, and what is said where they are not."""

import sys

import numpy as np
import pytest
import torch
from evaluation_drawings import draw_face

from eval.embedders import EMBEDDERS, open_embedder
from eval.landmarks import DETECTORS, bodies, open_detector
from motion_core.errors import InputError

DARK_SKIN = (110, 75, 55)


@pytest.fixture
def missing(monkeypatch):
    """Makes packages impossible to import, as if they were not installed."""

    def make(*modules):
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return make


@pytest.mark.parametrize("spec", [name for name in DETECTORS if name != "benchmark"])  # which ships with its weights
def test_what_a_detector_needs_is_said_in_one_sentence(spec, missing, monkeypatch, tmp_path):
    missing("dlib", "face_alignment", "onnxruntime")
    monkeypatch.setenv("MOTION_CORE_CACHE", str(tmp_path))

    with pytest.raises(InputError, match=r"pip install|python -m eval.install_worker|local file of weights"):
        open_detector(spec)


@pytest.mark.parametrize("spec", ["dlib", "onnx", "timm"])
def test_what_an_embedder_needs_is_said_in_one_sentence(spec, missing):
    missing("dlib", "onnxruntime")

    assert spec in EMBEDDERS
    with pytest.raises(InputError, match=r"pip install|local file of weights|must name a model of timm"):
        open_embedder(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("openpose", "detector must be one of mediapipe-body, .*, onnx, got 'openpose'"),
        ("keypointrcnn:nowhere.pth", "keypointrcnn:FILE: there is no file nowhere.pth; torchvision's are at https://"),
        ("onnx:nowhere.onnx", "onnx:FILE: there is no file nowhere.onnx"),
        ("mediapipe-face:large", "mediapipe-face takes nothing after a colon, got 'large'"),
        ("dlib:5", "dlib takes nothing after a colon, got '5'"),
    ],
)
def test_detectors_that_cannot_be_opened(spec, message):
    with pytest.raises(InputError, match=message):
        open_detector(spec)


def test_a_file_of_other_weights_is_refused(tmp_path):
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")

    with pytest.raises(InputError, match=r"other.pth: must be weights of KeypointRCNN"):
        open_detector(f"keypointrcnn:{tmp_path / 'other.pth'}")
    with pytest.raises(InputError, match=r"other.pth: must be weights of resnet18"):
        open_embedder(f"timm:resnet18:{tmp_path / 'other.pth'}")
    with pytest.raises(InputError, match=r"timm:resnet18:FILE: there is no file nowhere"):
        open_embedder("timm:resnet18:nowhere")


def test_the_names_of_cocos_joints_are_torchvisions():
    from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights

    names = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["keypoint_names"]
    assert [name.replace("_", " ") for name in names] == list(bodies.COCO)


def test_the_18_joints_are_those_of_the_same_name():
    points = np.arange(34.0).reshape(17, 2)
    found = np.ones(17, bool)
    found[[0, 5]] = False

    joints = bodies.body_joints(points, found)

    assert len(bodies.JOINTS) == len(set(bodies.JOINTS)) == len(joints) == 18
    assert np.isnan(joints[[bodies.JOINTS.index(name) for name in ("nose", "left shoulder", "neck")]]).all()
    for name, point in zip(bodies.COCO, points, strict=True):
        if name not in ("nose", "left shoulder"):
            np.testing.assert_array_equal(joints[bodies.JOINTS.index(name)], point)


def test_a_timm_model_embeds_by_its_local_weights(tmp_path):
    import timm

    torch.manual_seed(3)
    network = timm.create_model("test_resnet.r160_in1k", pretrained=False)
    torch.save(network.state_dict(), tmp_path / "weights.pth")

    embedder = open_embedder(f"timm:test_resnet.r160_in1k:{tmp_path / 'weights.pth'}")

    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    config = timm.data.resolve_data_config({}, model=network)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    pixels = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
    with torch.no_grad():
        expected = network.eval().forward_head(network.forward_features(pixels[None]), pre_logits=True)[0]
    np.testing.assert_allclose(embedder.embed(image), expected.numpy(), rtol=1e-4, atol=1e-5)
    assert embedder.embed(np.repeat(image, 2, axis=1)).shape == expected.shape
    assert embedder.name == "timm:test_resnet.r160_in1k"
    assert embedder.version.startswith(f"timm {timm.__version__}, weights ")


@pytest.mark.slow
def test_keypointrcnn_runs_with_local_weights(tmp_path):
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    network = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    torch.save(network.state_dict(), tmp_path / "weights.pth")

    detector = open_detector(f"keypointrcnn:{tmp_path / 'weights.pth'}")

    points = detector.landmarks(np.zeros((64, 64, 3), np.uint8))
    assert points.shape == (18, 2)
    assert np.isnan(points).all(), "with random weights nobody is found"


@pytest.mark.slow
def test_dlib_finds_a_drawn_face_and_who_it_is():
    pytest.importorskip("dlib", reason="dlib is not installed: pip install '.[faces]'")
    detector, embedder = open_detector("dlib"), open_embedder("dlib")
    plain, shifted = (detector.landmarks(draw_face(shift)) for shift in (0, 20))

    assert plain.shape == (68, 2)
    assert np.abs(plain[[48, 54]].mean(axis=0) - (128, 181)).max() < 4, "the middle of the mouth's corners"
    np.testing.assert_allclose((shifted - plain).mean(axis=0), (20, 0), atol=2)
    assert np.isnan(detector.landmarks(np.full((256, 256, 3), 90, np.uint8))).all()
    same, other = (
        np.linalg.norm(embedder.embed(image) - embedder.embed(draw_face()))
        for image in (draw_face(10), draw_face(0, DARK_SKIN))
    )
    assert same < 0.2 < other
    assert embedder.embed(np.full((256, 256, 3), 90, np.uint8)) is None


@pytest.fixture
def onnx_file(tmp_path):
    """Writes a network of one input and the given nodes and outputs as an ONNX file."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install '.[onnx]'")
    onnx = pytest.importorskip("onnx", reason="onnx, which makes the file, is not installed")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT

    def write(shape, nodes, outputs, constants=()):
        graph = helper.make_graph(
            [helper.make_node(*node[:3], **node[3]) for node in nodes],
            "network",
            [helper.make_tensor_value_info("image", number, shape)],
            [helper.make_tensor_value_info(name, number, size) for name, size in outputs],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, str(tmp_path / "network.onnx"))
        return tmp_path / "network.onnx"

    return write


def test_an_onnx_embedder_gets_the_image_in_facenets_scale(onnx_file):
    """Its network is the mean over the image, for each colour."""
    node = ("ReduceMean", ["image"], ["vector"], {"axes": [2, 3], "keepdims": 0})
    file = onnx_file([1, 3, 160, 160], [node], [("vector", [1, 3])])
    image = np.zeros((80, 80, 3), np.uint8)
    image[:] = 255, 191, 127

    vector = open_embedder(f"onnx:{file}").embed(image)

    expected = (np.array([255, 191, 127]) - 127.5) / 128
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_rtmpose_finds_the_brightest_place_of_each_axis(onnx_file):
    """Its network is the mean of the red image over rows and over columns, two bins a pixel, the same for all joints."""
    scale = np.array([1, 1, 2], np.float32)
    ones = np.ones((1, 17, 1), np.float32)
    nodes = [("Slice", ["image", "first", "second", "channel"], ["red"], {})]
    for name, axis in (("x", 2), ("y", 3)):
        nodes += [
            ("ReduceMean", ["red"], [f"mean_{name}"], {"axes": [axis], "keepdims": 0}),
            ("Resize", [f"mean_{name}", "", "scale"], [f"wide_{name}"], {"mode": "nearest"}),
            ("Mul", [f"wide_{name}", "ones"], [name], {}),
        ]
    numbers = {name: np.array([value], np.int64) for name, value in (("first", 0), ("second", 1), ("channel", 1))}
    constants = [*numbers.items(), ("scale", scale), ("ones", ones)]
    file = onnx_file([1, 3, 256, 192], nodes, [("x", [1, 17, 384]), ("y", [1, 17, 512])], constants)
    image = np.zeros((128, 128, 3), np.uint8)  # it is shown at 192 x 192, between 32 repeated rows
    image[:, 40], image[100] = (255, 0, 0), (255, 0, 0)

    points = open_detector(f"onnx:{file}").landmarks(image)

    assert points.shape == (18, 2)
    np.testing.assert_allclose(points, np.tile([40, 100], (18, 1)), atol=0.7)
    assert np.isnan(open_detector(f"onnx:{file}").landmarks(np.zeros((128, 128, 3), np.uint8))).all()


@pytest.mark.parametrize("shape", [[1, 1, 64, 64], [1, 3, "height", "width"]])
def test_onnx_networks_that_take_no_image(onnx_file, shape):
    file = onnx_file(shape, [("Identity", ["image"], ["vector"], {})], [("vector", shape)])

    with pytest.raises(InputError, match=r"network.onnx: must have one input \(N, 3, H, W\) or \(N, H, W, 3\)"):
        open_embedder(f"onnx:{file}")
