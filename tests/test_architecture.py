"""The rules of what may import what, held against the source."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "motion_core"
# What networks may import of each other: the base, and of the same backbone what several stages are made of.
SHARED_BY_NETWORKS = {
    "networks.base",
    *(f"networks.tpsmm.{part}" for part in ("blocks", "regressor", "heatmap_regressor")),
    *(
        f"networks.layered.{part}"
        for part in (
            "unet",
            "capsules",
            "limbs",
            "sides",
            "limb_motion",
            "strip_correction",
            "composition",
            "layout_network",
            "blaze_pose",
            "person_finder",
        )
    ),
}
COMPONENTS = (
    "AVDNetwork",
    "BackgroundPredictor",
    "CameraAligner",
    "DenseMotionNetwork",
    "ImageGenerator",
    "KeypointDetector",
    "LayerPainter",
    "LayoutNetwork",
    "OptimalInterpolationSelector",
    "PersonDetector",
    "ViewFusion",
)
PUBLISHED_WORDS = (
    "hourglass",
    "fg_encoder",
    "bg_encoder",
    "resblock",
    "down_blocks",
    "up_blocks",
    "inpainting_network",
    "kp_detector",
)


def sources(*parts: str) -> list[Path]:
    """The Python files of a folder of the repository, or the one file; none where it does not exist (yet)."""
    path = ROOT.joinpath(*parts)
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] * path.with_suffix(".py").is_file()


def everything() -> list[Path]:
    return [path for package in ("motion_core", "train", "eval", "space") for path in sources(package)]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    """Of the module in a file, such as "motion_core.geometry.grids"."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported(path: Path, within: ast.AST | None = None) -> Iterator[str]:
    """Full names of all modules that a file imports, anywhere in it; ``from a import b`` gives a.b."""
    package = name(path).split(".")[:-1]  # of an __init__.py too: its own name ends in __init__
    for node in ast.walk(within or tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def imported_on_import(path: Path) -> Iterator[str]:
    """Only what stands outside of functions."""
    outside = ast.Module([node for node in tree(path).body if not isinstance(node, ast.FunctionDef)], [])
    functions = [node for node in ast.walk(outside) if isinstance(node, ast.FunctionDef)]
    inside = [module for function in functions for module in imported(path, function)]
    found = list(imported(path, outside))
    for module in inside:
        found.remove(module)
    yield from found


def is_part_of(module: str, *parents: str) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def is_standard(module: str) -> bool:
    return module.split(".")[0] in sys.stdlib_module_names


def identifiers(path: Path) -> Iterator[str]:
    """Every name that the code uses or defines."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.arg(arg=word) | ast.alias(name=word):
                yield word
            case ast.FunctionDef(name=word) | ast.ClassDef(name=word) | ast.keyword(arg=str(word)):
                yield word


def texts(path: Path) -> Iterator[str]:
    """Every string that the code uses; docstrings are not code."""
    prose = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def broken(paths: Iterable[Path], found: Callable[[Path], Iterable[str]], allowed: Callable[[str], bool]) -> list[str]:
    """What files have of what they may not have, each as "module: what"."""
    return [f"{name(path)}: {each}" for path in paths for each in found(path) if not allowed(each)]


def test_geometry_imports_torch_only():
    own = ("torch", "motion_core.geometry")
    assert not broken(sources("motion_core", "geometry"), imported, lambda it: is_standard(it) or is_part_of(it, *own))


def test_a_network_imports_no_other_stage():
    rooms = ("geometry", "structures", "errors", "settings", "diffusers_base", *SHARED_BY_NETWORKS)
    known = ("torch", "timm", "safetensors", *(f"motion_core.{room}" for room in rooms))
    stages = [path for path in sources("motion_core", "networks") if path.stem != "backbone"]
    assert not broken(stages, imported, lambda it: is_standard(it) or is_part_of(it, *known))


def test_timm_is_imported_when_it_is_used():
    assert not broken(sources("motion_core"), imported_on_import, lambda it: not is_part_of(it, "timm"))


def test_only_geometry_samples():
    outside = [path for path in everything() if not is_part_of(name(path), "motion_core.geometry")]
    assert not broken(outside, lambda path: [*identifiers(path), *texts(path)], lambda it: "grid_sample" not in it)


def test_only_the_conversion_knows_published_names():
    outside = [path for path in sources("motion_core") if name(path) != "motion_core.checkpoint_conversion"]
    assert not broken(outside, identifiers, lambda it: it not in PUBLISHED_WORDS)
    assert not broken(
        outside, texts, lambda it: not any(word in it.replace("num_down_blocks", "") for word in PUBLISHED_WORDS)
    )


def test_only_media_knows_codecs_and_pictures():
    outside = [path for path in everything() if not is_part_of(name(path), "motion_core.media")]
    assert not broken(outside, imported, lambda it: not is_part_of(it, "av", "PIL", "moviepy"))


def test_the_package_imports_nothing_that_is_built_on_it():
    above = ("train", "eval", "space", "app", "tests")
    assert not broken(sources("motion_core"), imported, lambda it: not is_part_of(it, *above))


def test_train_eval_and_space_do_not_import_each_other():
    folders = {"train", "eval", "space"}
    for folder in folders:
        others = {*folders, "app", "tests"} - {folder}
        for path in sources(folder):
            # Which photo pairs no training may see is said once; recipes read the formats of rendered people.
            formats = ["eval.photo_pairs"] if folder == "train" else []
            formats += ["eval.rendered_people"] if is_part_of(name(path), "train.recipes") else []
            found = [it for it in imported(path) if not is_part_of(it, *formats)]
            assert not [it for it in found if is_part_of(it, *others)], name(path)


def test_the_checks_see_imports_of_every_form(tmp_path, monkeypatch):
    """Otherwise the tests above could pass because nothing is found."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "motion_core" / "networks" / "probe.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        '"""hourglass"""\nimport os, train.main\nfrom ..media import files\nfrom . import dense_motion\nfrom .. import pipeline\n'
        "class C:\n    import timm as t\n"
        "    def f(self):\n        from av import open\n        return F.grid_sample('resblock')\n"
    )
    outside = [
        "os",
        "train.main",
        "motion_core.media.files",
        "motion_core.networks.dense_motion",
        "motion_core.pipeline",
        "timm",
    ]
    assert sorted(imported(path)) == sorted([*outside, "av.open"])
    assert sorted(imported_on_import(path)) == sorted(outside)
    assert {"grid_sample", "C", "f"} <= set(identifiers(path))
    assert list(texts(path)) == ["resblock"]
    assert len(sources("motion_core")) == 1
    assert sources("nothing") == []


@pytest.mark.slow
def test_each_import_brings_in_what_it_uses_and_no_more_and_diffusers_stays_whole():
    """In one fresh interpreter, from the lightest on."""
    program = textwrap.dedent("""
        import sys

        def loaded(*names):
            return {name for name in names if name in sys.modules}

        above = ("diffusers", "timm", "PIL", "av", "moviepy", "huggingface_hub")
        import motion_core
        dir(motion_core), motion_core.__version__
        from motion_core.__main__ import main
        try:
            main(["animate", "--help"])
        except SystemExit:
            assert not loaded("torch", "numpy", *above), loaded("torch", "numpy", *above)
        import motion_core.geometry
        assert loaded("torch")
        assert not loaded(*above), loaded(*above)
        from motion_core import KeypointDetector
        assert not loaded("timm")
        from motion_core import MotionInterpPipeline
        MotionInterpPipeline.from_pretrained().to("cpu").device
        heavy = ("torch._dynamo", "scipy.stats", "gradio", "moviepy", "torchvision", "transformers")
        assert not loaded(*heavy), loaded(*heavy)
        from diffusers.utils import import_utils
        assert "_found" not in vars(import_utils._package_map), "all that is installed was looked through"
        assert import_utils._package_map["torch"] == ["torch"]
        import torch
        from diffusers import AutoencoderKL, pipelines
        assert AutoencoderKL.__module__.startswith("diffusers.models.autoencoders")
        assert isinstance(AutoencoderKL.__new__(AutoencoderKL), pipelines.pipeline_utils.AutoencoderKL)
        assert torch.compiler.disable.__module__ == "torch.compiler"
        assert torch._dynamo.allow_in_graph
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_saved_pipeline_names_its_components_motion_core():
    """File and class names of components are a file format: ``["motion_core", "KeypointDetector"]``."""
    import motion_core
    from motion_core.components import COMPONENTS as USED

    for component in COMPONENTS:
        cls = getattr(motion_core, component)
        assert (cls.__module__, cls.__name__, cls.__qualname__) == ("motion_core", component, component)
        assert component in motion_core.__all__
        assert component in dir(motion_core)
    assert sorted(cls.__name__ for classes in USED.values() for cls in classes) == sorted(COMPONENTS)


def test_every_public_name_can_be_imported():
    import motion_core

    for public in motion_core.__all__:
        assert getattr(motion_core, public) is not None
    with pytest.raises(AttributeError, match="no attribute 'KeypointDetectors'"):
        _ = motion_core.KeypointDetectors
