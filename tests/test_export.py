"""Exported graphs against torch, and the program of docs/export.md that animates with them."""

import re
import runpy
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_people import toy_people

from motion_core import InputError, Keypoints, MotionInterpPipeline, demo, media
from motion_core.__main__ import main
from motion_core.export import export_onnx, solve

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pipe(golden_networks):
    return MotionInterpPipeline(**vars(golden_networks), image_size=128)


@pytest.fixture(scope="module")
def exported(pipe, tmp_path_factory):
    """The folder of the golden networks as the command exports them, and what it printed."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    base = tmp_path_factory.mktemp("export")
    pipe.save_pretrained(base / "model")
    with redirect_stdout(StringIO()) as printed:
        assert main(["export", str(base / "model"), str(base / "out")]) == 0
    return base / "out", printed.getvalue()


@pytest.fixture(scope="module")
def folder(exported):
    return exported[0]


def documented(folder, tmp_path, monkeypatch, source, driving):
    """The frames that the program of docs/export.md makes, ``(T, H, W, 3)`` in [0, 1]."""
    np.save(tmp_path / "source.npy", source)
    np.save(tmp_path / "driving.npy", driving)
    program = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)[1]
    assert len(program.splitlines()) <= 38
    (tmp_path / "animate_onnx.py").write_text(program)
    files = [str(tmp_path / f"{name}.npy") for name in ("source", "driving", "frames")]
    monkeypatch.setattr(sys, "argv", ["animate_onnx.py", str(folder), *files])

    runpy.run_path(str(tmp_path / "animate_onnx.py"))

    return np.load(tmp_path / "frames.npy") / 255


def test_the_documented_program_animates_as_torch_does(folder, pipe, golden, tmp_path, monkeypatch):
    source, driving = golden.arrays["source"], golden.arrays["driving"]

    made = documented(folder, tmp_path, monkeypatch, source, driving)

    with torch.inference_mode():
        method = pipe.method
        encoded = method.encode(golden.image(source))
        poses = method.detector(torch.cat([golden.image(frame) for frame in driving]))
        moved = Keypoints(encoded.keypoints.points + poses.points - poses.points[:1])
        wanted = method.generate([encoded], moved, [None], torch.zeros(len(driving))).image
    difference = np.abs(made - wanted.movedim(1, -1).numpy())
    assert difference.mean() < 0.003  # half a step of uint8, and rounding
    assert difference.max() < 0.02


def test_the_documented_program_animates_people_as_torch_does_in_all_of_the_picture(tmp_path, monkeypatch):
    """Torch computes the part of the picture that the figure needs; the scene is the painted one in both."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    detector, layout, painter = toy_people()
    people = MotionInterpPipeline(detector, layout, painter, image_size=64)
    source, driving = demo.source_picture(64), np.stack(demo.driving_frames(100, 64)[:10:4])
    exported = export_onnx(people, tmp_path / "out")
    assert max(graph.mean for graph in exported) < 1e-5

    made = documented(tmp_path / "out", tmp_path, monkeypatch, source, driving)

    with torch.inference_mode():
        method = people.method

        def looked(picture, region, times):
            image = media.to_float(picture[None].copy())
            for _ in range(times):
                found = method.detector.detect(image, region)
                region = found.region
            return image, found.keypoints, region

        whole = torch.tensor([[31.5, 31.5, 32.0, 0.0]])
        image, keypoints, _ = looked(source, whole, 3)
        parts = layout.parts(image, keypoints, keypoints.silhouette).softmax(dim=1)
        encoded = replace(method.encode(image, keypoints), background=painter.background(image, 1 - parts[:, :1]))
        _, first, region = looked(driving[0], whole, 3)
        wanted = []
        for picture in driving:
            _, found, region = looked(picture, region, 1)
            pose = Keypoints(keypoints.points + found.points - first.points)
            wanted.append(method.generate([encoded], pose, [None], torch.zeros(1)).image)
    difference = np.abs(made - torch.cat(wanted).movedim(1, -1).numpy())
    assert difference.mean() < 0.01, "what docs/export.md says"
    assert np.abs(made[0] - made[-1]).mean() > 0.003, "the figure moves"


def test_the_command_prints_what_it_checked_and_replaces_nothing(exported, capsys):
    folder, printed = exported
    for name in ("keypoints", "source", "frame"):
        line = next(line for line in printed.splitlines() if f"{name}.onnx" in line)
        assert all(float(number) < 1e-3 for number in re.findall(r"difference ([\d.e-]+)", line))
    assert main(["export", str(folder.parent / "model"), str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_export_that_computes_something_else_is_refused(pipe, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.setattr("motion_core.export.solve", lambda system, right: solve(system, right) + 0.1)

    with pytest.raises(InputError, match=r"frame.onnx: onnxruntime computes something else than torch"):
        export_onnx(pipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_packages_are_named_with_how_to_install_them(pipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install '\.\[onnx\]'"):
        export_onnx(pipe, tmp_path / "out")


def test_elimination_solves_what_splines_need():
    system, right = torch.randn(3, 8, 8), torch.randn(3, 8, 2)
    torch.testing.assert_close(solve(system, right), torch.linalg.solve(system, right), atol=1e-4, rtol=1e-4)
