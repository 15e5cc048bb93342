"""Exported graphs against torch, and the program of docs/export.md that animates with them."""

import re
import runpy
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch

from motion_core import InputError, Keypoints, MotionInterpPipeline
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


def test_the_documented_program_animates_as_torch_does(folder, pipe, golden, tmp_path, monkeypatch):
    source, driving = golden.arrays["source"], golden.arrays["driving"]
    np.save(tmp_path / "source.npy", source)
    np.save(tmp_path / "driving.npy", driving)
    program = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)[1]
    assert len(program.splitlines()) <= 33
    (tmp_path / "animate_onnx.py").write_text(program)
    files = [str(tmp_path / f"{name}.npy") for name in ("source", "driving", "frames")]
    monkeypatch.setattr(sys, "argv", ["animate_onnx.py", str(folder), *files])

    runpy.run_path(str(tmp_path / "animate_onnx.py"))

    made = np.load(tmp_path / "frames.npy")
    with torch.inference_mode():
        method = pipe.method
        encoded = method.encode(golden.image(source))
        poses = method.detector(torch.cat([golden.image(frame) for frame in driving]))
        moved = Keypoints(encoded.keypoints.points + poses.points - poses.points[:1])
        wanted = method.generate([encoded], moved, [None], torch.zeros(len(driving))).image
    difference = np.abs(made / 255 - wanted.movedim(1, -1).numpy())
    assert difference.mean() < 0.003  # half a step of uint8, and rounding
    assert difference.max() < 0.02


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


def test_a_model_of_layers_is_refused(tmp_path):
    with pytest.raises(InputError, match="only models of the published kind are exported"):
        export_onnx(MotionInterpPipeline.from_pretrained(), tmp_path / "out")


def test_elimination_solves_what_splines_need():
    system, right = torch.randn(3, 8, 8), torch.randn(3, 8, 2)
    torch.testing.assert_close(solve(system, right), torch.linalg.solve(system, right), atol=1e-4, rtol=1e-4)
