"""Configs written out: a resolved config as YAML, a template to start from, JSON Schema."""

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rnncli.config.keys import schema_fields, section_models
from rnncli.config.yaml12 import dump_value

# What a template puts in the place of a required value, or of one that nearly everybody needs.
PLACEHOLDERS: dict[tuple[str, ...], Any] = {
    ("corpus", "paths"): ["corpus.txt"],
    ("data", "train"): "train.tsv",
    ("config",): "classifier.yaml",
}


def config_to_yaml(config: BaseModel) -> str:
    """A resolved config as commented YAML, in the order of the schema; loading it gives an equal config."""
    return "".join(_lines(config, 0))


def template_yaml(schema: type[BaseModel]) -> str:
    """A commented config with every key at its default; required keys hold a placeholder and say so."""
    tree: dict[str, Any] = {}
    for keys, field, is_section in schema_fields(schema):
        if (field.is_required() or keys in PLACEHOLDERS) and not is_section:
            here = tree
            for key in keys[:-1]:
                here = here.setdefault(key, {})
            here[keys[-1]] = PLACEHOLDERS.get(keys, f"CHANGE-ME-{keys[-1]}")
    config = schema.model_validate(tree)
    title = (schema.__doc__ or "").strip().splitlines()[0]
    return f"# {title}\n\n" + "".join(_lines(config, 0, mark_required=True))


def json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a config, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema.model_json_schema()}


def _lines(config: BaseModel, depth: int, mark_required: bool = False) -> list[str]:
    pad = "  " * depth
    out = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        required = (
            "required: " if mark_required and field.is_required() and not section_models(field.annotation) else ""
        )
        out.append(f"{pad}# {required}{field.title}{_choices(field)}\n")
        if isinstance(value, BaseModel):
            out.append(f"{pad}{name}:\n")
            out.extend(_lines(value, depth + 1, mark_required))
        else:
            out.append(f"{pad}{name}: {dump_value(value)}\n")
        if depth == 0 and isinstance(value, BaseModel):
            out.append("\n")
    return out


def _choices(field: FieldInfo) -> str:
    """The allowed words, where the title does not already name them."""
    if get_origin(field.annotation) is not Literal:
        return ""
    words = [str(word) for word in get_args(field.annotation)]
    return "" if all(word in (field.title or "") for word in words) else f" ({', '.join(words)})"
