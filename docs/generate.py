"""Write docs/config.md from the config schemas: `python docs/generate.py`. A test checks that it is up to date."""

from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from rnncli.config.base import StrictModel
from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.config.inspection import GradientCheckConfig, InspectConfig
from rnncli.config.regression import RegressorConfig
from rnncli.config.rnn import ClassifierConfig
from rnncli.config.sequences import LanguageModelConfig, TaggerConfig
from rnncli.config.yaml12 import dump_value

COMMANDS: dict[str, type[StrictModel]] = {
    "train-embeddings": EmbeddingsConfig,
    "train-classifier": ClassifierConfig,
    "train-regressor": RegressorConfig,
    "train-tagger": TaggerConfig,
    "train-lm": LanguageModelConfig,
    "inspect-gradients": InspectConfig,
    "check-gradients": GradientCheckConfig,
}
INTRODUCTION = """# Config keys

Every command that takes `-c FILE` reads YAML 1.2: `no` is text, `1e-3` a number. Values come, in this order of weight, from
a flag (`--seed 7`), `--set training.lr=1e-2`, the environment (`RNNCLI_TRAINING__LR=1e-2`), the file, the default;
`rnncli config show -c FILE` prints each with its origin. An unknown key is an error that names the nearest known one.
Relative paths mean what they mean in the shell: relative to the current folder.

This page is written by `docs/generate.py` from the schemas.
"""


def rows(schema: type[StrictModel], prefix: str = "") -> list[str]:
    """One table row per key, sections flattened to dotted keys."""
    table = []
    for name, field in schema.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, StrictModel):
            table += rows(kind, f"{prefix}{name}.")
            continue
        default = "required" if field.default is PydanticUndefined else f"`{dump_value(field.default)}`"
        table.append(f"| `{prefix}{name}` | {default} | {field.title} |")
    return table


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for command, schema in COMMANDS.items():
        parts.append(f"## {command}\n\n| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows(schema)) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("config.md").write_text(page(), encoding="utf-8")
