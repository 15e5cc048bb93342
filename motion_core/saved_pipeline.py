"""Saved pipelines: finding them in a folder or on the Hub, checking them before anything is imported, saving them whole."""

from __future__ import annotations

import hashlib
import json
import re
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch

from .atomic import atomic_path
from .backends import check_backend
from .components import COMPONENTS, OPTIONAL
from .diffusers_base import DiffusionPipeline
from .errors import InputError, first_sentence
from .networks.base import without_path
from .settings import Backend

INDEX = "model_index.json"
SHIPPED = Path(__file__).resolve().parent / "weights" / "people"  # the model that comes with the package
_FILES = [INDEX, "*/config.json", "*/*.safetensors", "*/*.safetensors.index.json", "README.md"]
_HUB_OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "force_download")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class SavedPipeline(DiffusionPipeline):
    """A pipeline that is loaded with more care than diffusers takes, and saved without the paths of this machine.

    Attributes:
        backend: what computes the networks, see `motion_core.backends`.
    """

    backend: Backend = "auto"

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str] = SHIPPED, **kwargs: Any) -> Self:
        """Load a saved pipeline from a folder or from the Hub; without a name, the one that comes with the package.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub id such as "name/model".
            **kwargs: `dtype` of the convolutions, e.g. ``torch.bfloat16`` (coordinates are computed in fp32 in any case);
                `backend`, one of those of `motion_core.backends`; `revision`, `token`, `cache_dir`, `local_files_only`,
                `force_download` as in huggingface_hub; components to use instead of the saved ones; and what else
                diffusers takes.

        Raises:
            InputError: no such folder or repository, not a saved pipeline, incomplete weights, or an unknown option.
        """
        for name in ("dtype", "torch_dtype"):
            if not isinstance(kwargs.get(name), torch.dtype | None):
                raise InputError(f"{name} must be a torch.dtype such as torch.bfloat16, got {kwargs[name]!r}")
        if kwargs.get("device_map") == "auto":
            raise InputError("device_map: 'auto' is not known; leave it out and move the pipeline, as with .to('cuda')")
        backend = check_backend(kwargs.pop("backend", cls.backend))
        folder = resolve(pretrained_model_name_or_path, kwargs)
        try:
            pipeline = super().from_pretrained(folder, **{**kwargs, "use_safetensors": True})
        except InputError:
            raise
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"{pretrained_model_name_or_path}: cannot be loaded: {first_sentence(error)}") from error
        pipeline.register_to_config(_name_or_path=str(pretrained_model_name_or_path))
        pipeline.backend = backend
        return pipeline

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        """Fetch a saved pipeline from the Hub into the cache and return its folder."""
        return str(fetch(pretrained_model_name, kwargs))

    @classmethod
    def extract_init_dict(
        cls, config_dict: dict[str, Any], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The constructor's arguments out of ``model_index.json``, as in diffusers, which only warns of unknown options.

        Raises:
            InputError: an option that neither diffusers nor this class knows.
        """
        for option in kwargs:
            raise InputError(f"from_pretrained has no option {option!r}")
        return super().extract_init_dict(config_dict)

    @property
    def model_name(self) -> str:
        """How the model is named in messages and in the metadata of what it makes."""
        return Path(self.config.get("_name_or_path") or "an unnamed model").name

    def weights_digest(self) -> str:
        """A text that differs where the weights, their dtypes or the configuration do."""
        digest = hashlib.sha256(self.to_json_string().encode())
        for network in self.components.values():
            if network is None:
                continue
            digest.update(network.to_json_string().encode())
            for name, tensor in network.state_dict().items():
                digest.update(f"{name} {tensor.dtype} {tensor.cpu().double().sum().item()!r} ".encode())
        return digest.hexdigest()

    def to_json_string(self) -> str:
        """The configuration as it is saved: without the path that it was loaded from."""
        return without_path(super().to_json_string())


def resolve(name: str | PathLike[str], options: dict[str, Any]) -> Path:
    """The folder of a saved pipeline, fetched from the Hub if the name is not a folder.

    Args:
        name: a folder or a Hub id.
        options: of the download; they are taken out of the dict, which keeps the rest, components to use instead of the
            saved ones among them.

    Raises:
        InputError: there is no such folder or repository, or it does not hold one of our pipelines.
    """
    folder = Path(name)
    if folder.is_file():
        raise InputError(
            f"{name}: a file, not a saved pipeline; a published checkpoint must be converted first (`convert`)"
        )
    if not folder.is_dir():
        folder = fetch(str(name), options)
    else:
        for option in _HUB_OPTIONS:
            options.pop(option, None)
    _check_files(folder, {name: cls for name, cls in check_index(folder).items() if name not in options})
    return folder


def fetch(name: str, options: dict[str, Any]) -> Path:
    """Download a saved pipeline into the Hub's cache: configuration and safetensors only.

    Raises:
        InputError: not a Hub id, no such repository, or no connection to it.
    """
    from huggingface_hub import errors, snapshot_download

    if not _HUB_ID.fullmatch(name):
        raise InputError(f"{name}: no such folder, and not a Hub id such as name/model either")
    chosen = {option: options.pop(option) for option in _HUB_OPTIONS if option in options}
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, **chosen))
    except errors.GatedRepoError as error:
        raise InputError(f"{name}: access is restricted; accept the conditions on the Hub and pass a token") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        what = "revision" if isinstance(error, errors.RevisionNotFoundError) else "repository"
        raise InputError(f"{name}: no such folder, and no such {what} on the Hub (or it is private)") from error
    except (
        OSError,
        ValueError,
        getattr(errors, "HTTPError", OSError),
    ) as error:  # a connection that breaks off is neither of the first two
        raise InputError(f"{name}: no such folder, and the Hub did not give it: {first_sentence(error)}") from error


def check_index(folder: Path) -> dict[str, Any]:
    """The content of ``model_index.json``, which must name components of this package and nothing else.

    Loading a pipeline imports the modules that its index names, so this is read before that happens.

    Raises:
        InputError: no index, not JSON, or a component that is not one of ours.
    """
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: not a saved pipeline, it has no {INDEX}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(index, dict) or index.get("_class_name") != "MotionInterpPipeline":
        found = index.get("_class_name") if isinstance(index, dict) else type(index).__name__
        raise InputError(f"{path}: a pipeline of class {found}, not MotionInterpPipeline")
    for name, classes in COMPONENTS.items():
        value, expected = index.get(name, [None, None]), [["motion_core", cls.__name__] for cls in classes]
        if value not in expected and not (value == [None, None] and name in OPTIONAL):
            named = " or ".join(str(each) for each in expected)
            raise InputError(f"{path}: the component {name} must be {named}, got {value!r}")
    for name in index:
        if name not in COMPONENTS and name not in ("image_size", "variant") and not name.startswith("_"):
            raise InputError(f"{path}: unknown entry {name!r}")
    return index


def _check_files(folder: Path, index: dict[str, Any]) -> None:
    """Raise InputError where the folder of a component is missing, or holds code."""
    for name in COMPONENTS:
        if index.get(name, [None, None]) != [None, None] and not (folder / name).is_dir():
            raise InputError(f"{folder}: incomplete, it has no folder {name}")
    # Given trust_remote_code=True, diffusers would run these.
    for code in (folder / "None.py", *(folder / name / "motion_core.py" for name in COMPONENTS)):
        if code.exists():
            raise InputError(f"{code}: a saved pipeline holds weights and configurations, no code")


def check_target(folder: str | PathLike[str]) -> None:
    """Raise InputError unless a pipeline can be saved under that name: in an existing folder, and nothing there yet."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already and is not an empty folder")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist")


def save_whole(pipeline: SavedPipeline, folder: str | PathLike[str]) -> None:
    """Save a pipeline so that the folder appears complete or not at all.

    Raises:
        InputError: the folder exists and is not empty, or cannot be written.
    """
    check_target(folder)
    folder = Path(folder)
    try:
        with atomic_path(folder) as partial:
            partial.mkdir()  # where nothing can be written, said before diffusers says it at length
            pipeline.save_pretrained(partial)
            for path in partial.rglob("*.safetensors"):  # they are private otherwise
                path.chmod(0o644)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from None
