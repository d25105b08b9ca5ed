"""The dotted keys of a schema, and which one a mistyped key was meant to be."""

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

K = TypeVar("K")

# Names other programs use for our keys.
ALIASES = {
    "learning_rate": "lr", "eta": "lr", "vector_size": "dim", "size": "dim", "embedding_dim": "dim",
    "iter": "epochs", "n_epochs": "epochs", "max_epochs": "epochs", "workers": "threads", "thread": "threads",
    "window_size": "window", "ws": "window", "neg": "negative", "hidden": "hidden_size", "hidden_dim": "hidden_size",
    "batch": "batch_size", "clip": "clip_norm", "grad_clip": "clip_norm", "max_len": "max_length", "file": "paths",
}  # fmt: skip


def section_models(annotation: Any) -> list[type[BaseModel]]:
    """The section schemas an annotation allows: none for a value, several for a union of sections."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [model for part in get_args(annotation) for model in section_models(part)]
    return []


def schema_fields(schema: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], FieldInfo, bool]]:
    """(key path, field, whether it is a section) of every key, a section before its keys, in the order written."""
    for name, field in schema.model_fields.items():
        models = section_models(field.annotation)
        yield (name,), field, bool(models)
        for model in models:
            for keys, inner, is_section in schema_fields(model):
                yield (name, *keys), inner, is_section


def values_of(config: BaseModel) -> Iterator[tuple[tuple[str, ...], FieldInfo, Any]]:
    """(key path, field, value) of every value of a config that was validated."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            for keys, inner, leaf in values_of(value):
                yield (name, *keys), inner, leaf
        else:
            yield (name,), field, value


def nearest_key(unknown: tuple[str, ...], schema: type[BaseModel]) -> str | None:
    """The dotted key that `unknown` was most likely meant to be, or None when nothing is near.

    A key of the same name elsewhere and another program's name for a key win over likeness of letters; among equals
    the key in the same section wins.
    """
    *section, name = unknown
    name = name.lower().replace("-", "_")
    wanted = ALIASES.get(name, name)

    def likeness(keys: tuple[str, ...]) -> float:
        same_section = 0.1 if list(keys[:-1]) == section else 0.0
        if keys[-1] in (name, wanted):
            return 2.0 + same_section
        letters = difflib.SequenceMatcher(None, ".".join(unknown), ".".join(keys)).ratio()
        last = difflib.SequenceMatcher(None, name, keys[-1]).ratio()
        return max(letters, last) + same_section

    candidates = {keys for keys, _, _ in schema_fields(schema)}
    best = max(sorted(candidates), key=likeness)
    return ".".join(best) if likeness(best) >= 0.6 else None


def best_fitting(tree: Mapping[str, Any], schemas: Mapping[K, type[BaseModel]]) -> list[K]:
    """The schemas that a config may be for: those with most of its required sections, then of its keys; [] for none."""
    given = {keys[:depth] for keys in _leaves(tree) for depth in range(1, len(keys) + 1)}

    def fit(schema: type[BaseModel]) -> tuple[int, int]:
        known = {keys for keys, _, _ in schema_fields(schema)}
        needed = sum(field.is_required() and name in tree for name, field in schema.model_fields.items())
        return needed, sum(keys in known for keys in given)

    scores = {name: fit(schema) for name, schema in schemas.items()}
    best = max(scores.values())
    return [name for name, score in scores.items() if score == best] if best != (0, 0) else []


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)
