"""Reading the configuration of a training run: YAML with dotted overrides, and errors in one sentence."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from motion_core.command_line import CommandParser
from motion_core.errors import InputError

from .config import Section, TrainingConfig

S = TypeVar("S", bound=Section)


class ConfigParser(CommandParser):
    """A command that takes a configuration: ``--config FILE``, and KEY=VALUE before, between and after its options."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(prog, description)
        self.add_argument("--config", required=True, metavar="FILE", help="YAML, see train/configs and train/config.py")
        self.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as schedule.steps=1000")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        return self.parse_intermixed_args(args, namespace)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a configuration.

    Args:
        path: of the YAML file.
        overrides: such as ``schedule.steps=100``; the value is YAML too.

    Raises:
        InputError: the file cannot be read, or a key, a type or a value is wrong.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: must be YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be YAML with keys and values, got {type(values).__name__}")
    for override in overrides:
        _override(values, override)
    return parse_config(values, str(path))


def parse_config(values: Mapping[str, Any], origin: str = "configuration") -> TrainingConfig:
    """Check settings as read from YAML or JSON; see `parse_section`."""
    return parse_section(TrainingConfig, values, origin)


def parse_section(kind: type[S], values: Mapping[str, Any], origin: str) -> S:
    """Check the settings of a part of the configuration.

    Raises:
        InputError: naming `origin`, the key, the rule and the value.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{origin}: {_sentence(error)}") from None


def changed_keys(before: TrainingConfig, now: TrainingConfig) -> list[str]:
    """Dotted names of the settings in which two configurations differ."""
    first, second = _flat(before.as_dict()), _flat(now.as_dict())
    return [key for key in first if first[key] != second[key]]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise InputError(f"{override!r}: an override must be KEY=VALUE, such as schedule.steps=100")
    try:
        value = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError:
        raise InputError(f"{override!r}: the value must be YAML") from None
    if isinstance(value, dict):
        raise InputError(f"{override!r}: must set a single value, such as schedule.steps=100, got a mapping")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise InputError(f"{override!r}: {parent} is a single value, it has no keys of its own")
    values[last] = value


def _sentence(error: ValidationError) -> str:
    """The first of pydantic's errors as a sentence: key, rule, value."""
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    match first["type"]:
        case "extra_forbidden":
            return f"{key}: there is no such key{more}"
        case "missing":
            return f"{key}: must be given{more}"
        case "model_type":
            return f"{key}: must have keys of its own, got {first['input']!r}{more}"
        case "value_error":  # our own rules name the value
            text = str(first["ctx"]["error"])
            return f"{key}: {text}{more}" if key else f"{text}{more}"
    rule = re.sub(r"^\w+ should", "must", first["msg"])
    return f"{key}: {rule}, got {str(first['input'])[:100]!r}{more}"


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key given twice, of which PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
