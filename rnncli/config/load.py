"""A command's config from flags, `--set`, the environment, a YAML file and defaults, in this order of weight.

Values of `--set` and of the environment follow the same YAML 1.2 rules as the file (`config/yaml12.py`); `--set a.b=`
sets null, an empty environment variable counts as not set. `RNNCLI_SEED` names `seed`, `RNNCLI_TRAINING__LR` names
`training.lr`. Relative paths inside a config mean what they would mean in the shell: relative to the current folder,
not to the config file.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from rnncli.config.keys import nearest_key, schema_fields, section_models, values_of
from rnncli.config.write import config_to_yaml, json_schema, template_yaml
from rnncli.config.yaml12 import Keys, YamlError, dotted, dump_value, parse_value, parse_yaml
from rnncli.errors import ConfigError, UsageError

__all__ = ["Loaded", "config_to_yaml", "json_schema", "load_config", "read_config_file", "template_yaml"]

T = TypeVar("T", bound=BaseModel)
FileContent = tuple[dict[str, Any], dict[Keys, int]]  # the values and the line of every key
ENVIRONMENT_PREFIX = "RNNCLI_"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A checked config and where each of its values came from.

    `origin` maps every dotted key to `flag --seed`, `--set`, `environment RNNCLI_SEED`, `file configs/x.yaml:12`
    or `default`.
    """

    config: T
    origin: dict[str, str]


@dataclass(frozen=True)
class _Place:
    """Where a value was written: `origin` for `config show`, `where` and `line` (0: none) to begin an error with."""

    origin: str
    where: str
    line: int = 0


@dataclass(frozen=True)
class _Problem:
    where: str
    line: int
    text: str


class _Layers:
    """The merged tree of values, and the place each key was written at."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.places: dict[Keys, _Place] = {}

    def put(self, keys: tuple[str, ...], value: Any, place: _Place, lines: Mapping[Keys, int] | None = None) -> None:
        """Set a value, over whatever lower layers said; sections are merged key by key."""
        here = _at(place, keys, lines)
        if isinstance(value, Mapping):
            self._section(keys, here)
            for name, inner in value.items():
                self.put((*keys, name), inner, place, lines)
            return
        self._section(keys[:-1], here)[keys[-1]] = value
        for old in [k for k in self.places if k[: len(keys)] == keys]:
            del self.places[old]
        self.places[keys] = here
        for i in range(len(value) if isinstance(value, list) else 0):
            self.places[(*keys, i)] = _at(place, (*keys, i), lines)

    def _section(self, keys: tuple[str, ...], place: _Place) -> dict[str, Any]:
        """The section named by `keys`, made where it is missing or a value lies in its place."""
        here = self.tree
        for depth, key in enumerate(keys, start=1):
            if not isinstance(here.get(key), dict):
                here[key] = {}
                self.places[keys[:depth]] = place
            here = here[key]
        return here

    def place_of(self, keys: Keys) -> _Place | None:
        """Where `keys` was written, or else the nearest section around it that was."""
        while keys:
            if keys in self.places:
                return self.places[keys]
            keys = keys[:-1]
        return None


def _at(place: _Place, keys: Keys, lines: Mapping[Keys, int] | None) -> _Place:
    line = (lines or {}).get(keys, 0)
    return _Place(f"{place.origin}:{line}", place.where, line) if line else place


def load_config(
    schema: type[T],
    path: Path | None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] = {},
    environ: Mapping[str, str] = os.environ,
    content: FileContent | None = None,
) -> Loaded[T]:
    """Read, merge and check a config.

    `path` may be `-` for standard input; `overrides` are the `key=value` texts of `--set`; `flags` maps dotted keys to
    the values of command-line flags, None for a flag not given.
    Raises UsageError for a file that cannot be read, ConfigError (one line) for anything in it that does not fit.
    """
    layers = _Layers()
    if path is not None:
        tree, lines = content or read_config_file(path)
        layers.put((), tree, _Place(f"file {path}", str(path)), lines)
    for name, keys, text in _environment(schema, environ):
        layers.put(keys, _parsed(text, name), _Place(f"environment {name}", f"environment {name}"))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise ConfigError(f"--set {override}: expected key=value, for instance --set seed=2")
        where = f"--set {key.strip()}"
        layers.put(tuple(key.strip().split(".")), _parsed(text, where), _Place("--set", "--set"))
    for key, value in flags.items():
        if value is not None:
            flag = "--" + key.rpartition(".")[2].replace("_", "-")
            layers.put(tuple(key.split(".")), _plain(value), _Place(f"flag {flag}", flag))
    config = _validate(schema, layers, path)
    origin = {}
    for leaf, _, _ in values_of(config):
        place = layers.places.get(leaf)
        origin[dotted(leaf)] = place.origin if place else "default"
    return Loaded(config, origin)


def read_config_file(path: Path) -> FileContent:
    """The values of a YAML file, unchecked, and the line of every key."""
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such config file; `rnncli config init` writes one") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder, not a config file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES >> 20} MiB; not a config file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; a config is a YAML file") from None
    try:
        tree, lines = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"{path}:{error.line}: {error}" if error.line else f"{path}: {error}") from None
    if tree is None:
        return {}, lines
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}:1: expected lines of the form key: value, found {_described(tree)}")
    return tree, lines


def _environment(schema: type[BaseModel], environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """(variable, key path, text) of the variables that mean a key of this schema.

    A variable without `__` counts only where it names a value at the top (RNNCLI_CACHE or RNNCLI_DATA may mean
    something else); one with `__` counts where its first part is a section, and must then name a key.
    """
    sections = {name: bool(section_models(field.annotation)) for name, field in schema.model_fields.items()}
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or not environ[name]:
            continue
        keys = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        if sections.get(keys[0]) is (len(keys) > 1):
            yield name, keys, environ[name]


def _parsed(text: str, where: str) -> Any:
    try:
        return parse_value(text)
    except YamlError as error:
        raise ConfigError(f"{where}: {error}; quote the value if it is meant as text") from None


def _plain(value: object) -> Any:
    """A flag's value as YAML would give it: paths become text."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _validate(schema: type[T], layers: _Layers, path: Path | None) -> T:
    try:
        # Strict JSON: paths and lists are read from text, but a text never passes for a number or a truth value.
        return schema.model_validate_json(json.dumps(_whole_numbers(layers.tree)), strict=True)
    except ValidationError as error:
        problems = [
            problem for item in error.errors(include_url=False) for problem in _problems(item, schema, layers, path)
        ]
    problems.sort(key=lambda problem: problem.line or sys.maxsize)
    first = problems[0]
    place = f"{first.where}:{first.line}: " if first.line else f"{first.where}: " if first.where else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise ConfigError(f"{place}{first.text}{more}") from None


def _whole_numbers(value: Any) -> Any:
    """`1e5` is a float to YAML; where it is whole it may stand for an integer (and an integer for a float)."""
    if isinstance(value, dict):
        return {key: _whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _problems(item: Any, schema: type[BaseModel], layers: _Layers, path: Path | None) -> Iterator[_Problem]:
    """One pydantic error in our words; a missing section becomes one problem per required key in it."""
    keys: Keys = tuple(item["loc"])
    place = layers.place_of(keys)
    where, line = (place.where, place.line) if place else (str(path) if path else "", 0)
    if item["type"] == "missing":
        inside = [entry for entry in schema_fields(schema) if entry[0][: len(keys)] == keys]
        required = [entry for entry in inside if entry[1].is_required() and not entry[2]] or inside[:1]
        add = "" if path else "; give a config file (-c) or --set {}=..."
        for needed, field, _ in required:
            told = f"{'.'.join(needed)}: required key is missing ({field.title}){add.format('.'.join(needed))}"
            yield _Problem(where, line, told)
    elif item["type"] == "extra_forbidden":
        unknown = tuple(str(key) for key in keys)
        near = nearest_key(unknown, schema)
        known = [k[-1] for k, _, _ in schema_fields(schema) if k[:-1] == unknown[:-1]]
        hint = f"did you mean {near}?" if near else f"known here: {', '.join(known)}"
        yield _Problem(where, line, f"{dotted(keys)}: unknown key; {hint}")
    elif item["type"] == "json_invalid":
        yield _Problem("", 0, "a value is not valid UTF-8 text")
    elif item["type"] == "value_error":  # keys that do not go together, said by the section's own validator
        at = f"{dotted(keys)}: " if keys else ""
        yield _Problem(where, line, f"{at}{item['ctx']['error']}")
    else:
        key = "" if place and place.origin.startswith("flag ") else f"{dotted(keys)}: "
        yield _Problem(where, line, f"{key}expected {_expected(item)}, found {_described(item['input'])}")


def _expected(item: Any) -> str:
    """What a pydantic error asks for, in plain words."""
    context = item.get("ctx", {})
    bound = {
        "greater_than": ("above", "gt"),
        "greater_than_equal": ("of at least", "ge"),
        "less_than": ("below", "lt"),
        "less_than_equal": ("of at most", "le"),
    }.get(item["type"])
    if bound:
        return f"a number {bound[0]} {context[bound[1]]:g}"
    plain = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "string_type": "text (put a number in quotes)" if _is_number(item["input"]) else "text",
        "path_type": "a path",
        "list_type": "a list",
        "model_type": "a section (key: value lines)",
        "too_short": f"at least {context.get('min_length')} item",
    }
    if item["type"] == "literal_error":
        return str(context["expected"]).replace("'", "")
    return plain.get(item["type"], str(item["msg"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _described(value: Any) -> str:
    """What was found, short enough for one line."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return dump_value(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinity"
    if isinstance(value, int | float):
        return f"{value!r}"[:40]
    shown = value if len(value) <= 40 else value[:37] + "..."
    return f"the text {shown!r}"
