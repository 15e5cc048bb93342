"""Published TPSMM checkpoints to pipelines: the only file that knows other projects' parameter names.

A published file holds no configuration, so it is read off the parameters' names and shapes, and what comes out must match
every one of them. The files come from strangers: nothing in them is executed, and what is not a checkpoint is refused with
a sentence.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import InputError
from .networks.base import MotionModel, Undrawn
from .networks.tpsmm.avd_network import AVDNetwork
from .networks.tpsmm.background_predictor import BackgroundPredictor
from .networks.tpsmm.blocks import antialias_kernel
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.tpsmm.keypoint_detector import KeypointDetector

StateDict = dict[str, Tensor]
Network = TypeVar("Network", bound=MotionModel)

REQUIRED = ("kp_detector", "dense_motion_network", "inpainting_network")
OPTIONAL = ("avd_network", "bg_predictor")
MAX_WIDTH = 16384  # of a layer: a hostile shape must not become an allocation
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)

# Per published network: (pattern, our name), the first that matches wins; "resblock" is handled by a function of its own.
_RENAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "kp_detector": ((r"^fg_encoder\.", "backbone."),),
    "bg_predictor": ((r"^bg_encoder\.", "backbone."),),
    "avd_network": (),
    "dense_motion_network": (
        (r"^hourglass\.encoder\.down_blocks\.", "encoder."),
        (r"^hourglass\.decoder\.up_blocks\.", "decoder."),
        (r"^up\.", "refine."),
    ),
    "inpainting_network": ((r"^down_blocks\.", "down."), (r"^up_blocks\.", "up.")),
}
_PARALLEL = "module."
_COUNTER = ".num_batches_tracked"  # of batch normalisation; nothing that is computed depends on it
_ANTIALIAS = "down.weight"  # a constant that published files of the dense motion network contain


class _LeftOut:
    """Stands for a value of NumPy in a checkpoint. The file's own bytes come here, and nothing is done with them."""

    def __init__(self, *_parts: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


# What a pickled number or array of NumPy asks for, under the names of NumPy 1 and 2; none of it is imported or called.
_LEFT_OUT: list[Any] = [
    (_LeftOut, name)
    for name in (
        *(f"numpy.{core}.multiarray.{kind}" for core in ("core", "_core") for kind in ("scalar", "_reconstruct")),
        "numpy.dtype",
        "numpy.ndarray",
        "_codecs.encode",
    )
]

# Checkpoints of other projects, by parameters that each of theirs has and no TPSMM network: (project, network, its parameters).
_OTHERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("the First Order Motion Model (FOMM)", "kp_detector", ("kp.weight",)),
    ("the First Order Motion Model (FOMM)", "generator", ("dense_motion_network.mask.weight",)),
    ("Articulated Animation (MRAA)", "region_predictor", ("regions.weight",)),
    ("Articulated Animation (MRAA)", "generator", ("pixelwise_flow_predictor.mask.weight",)),
)


@dataclass(frozen=True)
class ConvertedNetworks:
    """The networks of one checkpoint; an optional one that it lacks is None."""

    keypoint_detector: KeypointDetector
    dense_motion_network: DenseMotionNetwork
    image_generator: ImageGenerator
    avd_network: AVDNetwork | None
    background_predictor: BackgroundPredictor | None


def read_checkpoint(path: str | Path) -> dict[str, StateDict]:
    """The state dicts in a published checkpoint file, by the published names of their networks.

    Only tensors and plain containers are unpickled (``weights_only``). Optimiser states, the epoch, and numbers of NumPy are
    left out, and so is the prefix that ``DataParallel`` puts before the names of parameters.

    Raises:
        InputError: the file is missing, is not a checkpoint, would run code, or lacks a network.
    """
    path = Path(path)
    _refuse_what_is_no_checkpoint(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_LEFT_OUT):
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can make the unpickler raise anything
        if foreign := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"{path}: refused, it asks to run {foreign[1]}; a checkpoint may hold tensors only"
            ) from None
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        if "weights_only" in reason:  # torch goes on to advise to load it unsafely
            reason = "not a pickle of tensors"
        raise InputError(f"{path}: not a checkpoint, or a damaged one ({reason})") from None
    return _networks_in(content, path)


def convert(networks: dict[str, StateDict]) -> ConvertedNetworks:
    """Networks with the weights of published state dicts.

    Raises:
        InputError: names or shapes that no configuration gives, or weights that are not finite numbers.
    """
    keypoints, motion, generator = (networks[name] for name in REQUIRED)
    maps = _shape(motion, "maps.weight", "dense_motion_network")[0]
    points = _shape(keypoints, "fg_encoder.fc.weight", "kp_detector")[0]
    num_splines = maps - 1
    if num_splines < 1 or points % (2 * num_splines):
        raise InputError(
            f"kp_detector gives {points} numbers, which are not whole points of the {num_splines} splines of "
            "dense_motion_network"
        )
    groups = {"num_splines": num_splines, "points_per_spline": points // (2 * num_splines)}
    channels = _shape(keypoints, "fg_encoder.conv1.weight", "kp_detector")[1]
    avd, background = networks.get("avd_network"), networks.get("bg_predictor")
    return ConvertedNetworks(
        _build(KeypointDetector, {**groups, "image_channels": channels}, keypoints, "kp_detector"),
        _build(DenseMotionNetwork, {**groups, **_motion_config(motion, channels)}, motion, "dense_motion_network"),
        _build(ImageGenerator, _generator_config(generator, motion), generator, "inpainting_network"),
        _build(AVDNetwork, {**groups, **_avd_config(avd)}, avd, "avd_network") if avd else None,
        _build(BackgroundPredictor, {"image_channels": channels}, background, "bg_predictor") if background else None,
    )


def published_state_dict(network: MotionModel, name: str) -> StateDict:
    """The weights of one of our networks under their published names: the inverse of what `convert` does to them."""
    ours = network.state_dict()
    state = {_published_name(key, name): value for key, value in ours.items()}
    if isinstance(network, DenseMotionNetwork) and network.shrink > 1:
        kernel = network.shrink_source.kernel
        state[_ANTIALIAS] = kernel.expand(network.config["image_channels"], 1, *kernel.shape).clone()
    return state


def _refuse_what_is_no_checkpoint(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: a folder, not a checkpoint file")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not start:
        raise InputError(f"{path}: the file is empty")
    if start.startswith(b"version https://git-lfs"):
        raise InputError(f"{path}: a Git LFS pointer, not the checkpoint itself; fetch it with `git lfs pull`")
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise InputError(f"{path}: a web page, not a checkpoint; download the file itself")
    if _unpacked_size(path) > path.stat().st_size:
        raise InputError(f"{path}: refused, it unpacks to more than its size; a checkpoint is not compressed")


def _unpacked_size(path: Path) -> int:
    """Of a zip archive; 0 of anything else, which the unpickler then refuses or reads."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except Exception:  # a damaged file can make the zip reader raise many things
        return 0


def _networks_in(content: Any, path: Path) -> dict[str, StateDict]:
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a TPSMM checkpoint: it holds a {type(content).__name__}, not a dict of networks")
    for project, name, parameters in _OTHERS:
        if (state := _without_prefix(content.get(name))) and all(key in state for key in parameters):
            raise InputError(f"{path}: a checkpoint of {project}, not of TPSMM, which alone can be converted")
    networks = {}
    for name in REQUIRED + OPTIONAL:
        state = _without_prefix(content.get(name))
        if state is None and name in OPTIONAL:
            continue
        if state is None:
            found = ", ".join(sorted(str(key) for key in content)[:8]) or "nothing"
            raise InputError(f"{path}: the network {name} is missing; the file holds {found}")
        if not isinstance(state, dict) or not state:
            raise InputError(f"{path}: {name} is not a state dict")
        for key, value in state.items():
            if not isinstance(key, str) or not isinstance(value, Tensor) or not _is_plain(value):
                raise InputError(f"{path}: {name}.{key} is not a plain tensor")
        networks[name] = dict(state)
    return networks


def _without_prefix(state: Any) -> Any:
    """A state dict without the prefix of ``DataParallel``, if all names have it; what is no state dict as it is."""
    if not isinstance(state, dict) or not all(isinstance(key, str) and key.startswith(_PARALLEL) for key in state):
        return state
    return {key.removeprefix(_PARALLEL): value for key, value in state.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Numbers in memory, as many as its shape says: a broadcast or a meta tensor could claim any size."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
        return False
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def _shape(state: StateDict, key: str, network: str) -> tuple[int, ...]:
    """The shape of a parameter of a layer, ``(out, in, ...)``."""
    if key not in state:
        raise InputError(f"{network} has no parameter {key}, which every published network has")
    shape = tuple(state[key].shape)
    if len(shape) < 2 or max(shape) > MAX_WIDTH:
        raise InputError(f"{network}.{key} has shape {shape}, which fits no configuration")
    return shape


def _count(state: StateDict, pattern: str) -> int:
    """How many different numbers stand at the group of the pattern."""
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def _motion_config(state: StateDict, image_channels: int) -> dict[str, Any]:
    network = "dense_motion_network"
    blocks = _count(state, r"hourglass\.encoder\.down_blocks\.(\d+)\.")
    if not blocks:
        raise InputError(f"{network} has no hourglass.encoder.down_blocks, which every published network has")
    encoder = [_shape(state, f"hourglass.encoder.down_blocks.{i}.conv.weight", network)[0] for i in range(blocks)]
    last = _shape(state, f"hourglass.decoder.up_blocks.{blocks - 1}.conv.weight", network)[0]
    return {
        "image_channels": image_channels,
        "block_expansion": last,
        "max_features": max(encoder),
        "num_blocks": blocks,
        "shrink": _shrink_of(state, image_channels),
        "num_masks": _count(state, r"occlusion\.(\d+)\.weight"),
    }


def _shrink_of(state: StateDict, channels: int) -> int:
    """The reduction that an antialias kernel belongs to; none is kept where the source is not reduced."""
    if _ANTIALIAS not in state:
        return 1
    kernel = state[_ANTIALIAS]
    for shrink in (2, 4, 8, 16):
        ours = antialias_kernel(shrink)
        if kernel.shape == (channels, 1, *ours.shape) and kernel.is_floating_point():
            rounding = torch.finfo(kernel.dtype).eps
            if torch.allclose(kernel.float(), ours.expand_as(kernel), rtol=rounding, atol=1e-5):
                return shrink
    raise InputError(
        f"dense_motion_network.{_ANTIALIAS} of shape {tuple(kernel.shape)} is not a known antialias kernel"
    )


def _generator_config(state: StateDict, motion: StateDict) -> dict[str, Any]:
    first = _shape(state, "first.conv.weight", "inpainting_network")
    blocks = _count(state, r"down_blocks\.(\d+)\.")
    widths = [_shape(state, f"down_blocks.{i}.conv.weight", "inpainting_network")[0] for i in range(blocks)]
    return {
        "image_channels": first[1],
        "block_expansion": first[0],
        "max_features": max([first[0], *widths]),
        "num_down_blocks": blocks,
        "num_masks": _count(motion, r"occlusion\.(\d+)\.weight"),
    }


def _avd_config(state: StateDict) -> dict[str, Any]:
    number = re.compile(r"id_encoder\.(0|[1-9][0-9]{0,3})\.weight")
    layers = sorted(int(match[1]) for key in state if (match := number.fullmatch(key)))
    linear = [i for i in layers if state[f"id_encoder.{i}.weight"].ndim == 2]
    widths = [_shape(state, f"id_encoder.{i}.weight", "avd_network")[0] for i in linear]
    if len(widths) < 2:
        raise InputError("avd_network.id_encoder has fewer than two linear layers, which fits no configuration")
    pose = _shape(state, f"pose_encoder.{linear[-1]}.weight", "avd_network")[0]
    return {"id_features": widths[-1], "pose_features": pose, "hidden_features": tuple(widths[:-1])}


def _build(cls: type[Network], config: dict[str, Any], state: StateDict, name: str) -> Network:
    """The network of that configuration with these weights; every name and shape must fit."""
    state = {key: value for key, value in state.items() if (name, key) != ("dense_motion_network", _ANTIALIAS)}
    try:
        with torch.device("meta"), Undrawn():  # shapes first: nothing is allocated for a file that does not fit
            expected = {_published_name(key, name): value for key, value in cls(**config).state_dict().items()}
    except ValueError as error:
        raise InputError(f"{name}: its shapes fit no configuration: {error}") from None
    counters = {key: torch.tensor(0) for key in expected if key.endswith(_COUNTER)}  # which old files lack
    state = counters | state
    for key in sorted(expected.keys() | state.keys()):
        if key not in state:
            raise InputError(f"{name} has no parameter {key}, which its other shapes ask for")
        if key not in expected:
            raise InputError(f"{name} has the unknown parameter {key}, which fits no configuration")
        shape, wanted = tuple(state[key].shape), tuple(expected[key].shape)
        if shape != wanted:
            raise InputError(f"{name}.{key} has shape {shape} where the others ask for {wanted}")
        if state[key].is_floating_point() != expected[key].is_floating_point():
            raise InputError(f"{name}.{key} holds {state[key].dtype} where {expected[key].dtype} is wanted")
        if state[key].is_floating_point() and not torch.isfinite(state[key]).all():
            raise InputError(f"{name}.{key} holds values that are not finite")
    with Undrawn():
        network = cls(**config)
    network.load_state_dict({_our_name(key, name): value for key, value in state.items()})
    return network.eval()


def _our_name(key: str, network: str) -> str:
    """``resblock.5.`` is the second block of the third pair; the rest is a change of prefix."""
    if network == "inpainting_network" and (match := re.match(r"resblock\.(\d+)\.", key)):
        index = int(match[1])
        return f"residual.{index // 2}.{index % 2}.{key[match.end() :]}"
    for pattern, ours in _RENAMES[network]:
        if re.match(pattern, key):
            return re.sub(pattern, ours, key)
    return key


def _published_name(key: str, network: str) -> str:
    if network == "inpainting_network" and (match := re.match(r"residual\.(\d+)\.(\d+)\.", key)):
        return f"resblock.{2 * int(match[1]) + int(match[2])}.{key[match.end() :]}"
    for pattern, ours in _RENAMES[network]:
        if key.startswith(ours):
            return pattern.lstrip("^").replace("\\", "") + key[len(ours) :]
    return key
