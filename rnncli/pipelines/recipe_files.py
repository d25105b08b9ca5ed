"""A recipe from its YAML file, and of which kind it is when nobody says so: by its keys, its values, its data."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnncli.config.keys import best_fitting
from rnncli.config.load import FileContent, load_config, read_config_file
from rnncli.data.numeric import to_number
from rnncli.data.readers import COMPRESSED_SUFFIXES, FASTTEXT_PREFIX, FORMAT_OF_SUFFIX
from rnncli.data.streams import STDIN, read_line_blocks
from rnncli.errors import ConfigError, CorpusError, UsageError
from rnncli.pipelines.recipes import RECIPES, Recipe, RecipeConfig

PEEK_BYTES = 1 << 16  # of a file, to see of what kind it is
MOST_CLASSES = 20  # more different numbers, fractions among them, are measured and not chosen from


def recipe_file(path: Path, overrides: tuple[str, ...] = (), kind: str | None = None) -> tuple[Recipe, RecipeConfig]:
    """A recipe from its YAML file, of the given kind or of the one that it fits. Raises UsageError, ConfigError."""
    content = read_config_file(path)
    recipe = RECIPES[kind or kind_of(path, content)]
    return recipe, load_config(recipe.schema, path, overrides, content=content).config


def kind_of(path: Path, content: FileContent) -> str:
    """The kind whose keys a recipe has; of several the one that takes its values, then the one that reads its data.

    Where none can read the file to learn from, the first of those: whoever prepares the run says what is wrong with it.
    Raises UsageError where no kind fits, or several fit equally.
    """
    section = content[0].get("data")
    schemas = {task: recipe.schema for task, recipe in RECIPES.items()}
    found = best_fitting(content[0], schemas) if isinstance(section, dict) else []
    if not isinstance(section, dict) or not found:
        raise UsageError(f"{path}: its keys fit no recipe of train-classifier, -regressor, -tagger or -lm")
    if len(found) > 1:
        taken = [kind for kind in found if _takes(RECIPES[kind], path, content)]
        if not taken:  # whoever loads it says what is wrong with its values
            return found[0]
        found = taken
    if len(found) > 1:
        found = _of_data(found, section)
    if len(found) > 1:
        alike = f"{', '.join(found[:-1])} and {found[-1]}"
        raise UsageError(f"{path}: fits {alike} alike; say which it is with --kind ({', '.join(RECIPES)})")
    return found[0]


def _takes(recipe: Recipe, path: Path, content: FileContent) -> bool:
    """Whether the values of a recipe have a meaning for this kind, too."""
    try:
        config = load_config(recipe.schema, path, content=content).config
    except ConfigError:
        return False
    training, head = config.training, getattr(config.model, "head", "auto")
    columns = any(name.startswith("column:") for name in getattr(config.data, "features", []))
    idle = {  # what the command refuses
        "classifier": training.bptt_stride is not None or columns,
        "regressor": training.bptt_stride is not None or columns or head != "auto"
        or training.class_weights is not None or training.label_smoothing > 0,
        "language-model": training.class_weights is not None,
    }  # fmt: skip
    return not idle.get(recipe.task, False)


def _of_data(found: list[str], section: Mapping[str, Any]) -> list[str]:
    """Those kinds that read data of this form; all of them where that does not tell."""
    train = section.get("train")
    if not isinstance(train, str):
        return found[:1]
    if Path(train) == STDIN:
        return found
    suffixes = [s.lower() for s in Path(train).suffixes if s.lower() not in COMPRESSED_SUFFIXES]
    table = bool(suffixes) and suffixes[-1] in FORMAT_OF_SUFFIX
    try:
        lines = _first_lines(Path(train))
    except (UsageError, CorpusError):
        lines = []
    kinds: tuple[str, ...] = () if table else ("language-model",)
    labels = _labels(lines, section) if lines else None
    if labels is not None:
        kinds = _kinds_of_labels(labels)
    elif lines and _is_tagged(lines):
        kinds = ("tagger",)
    left = [kind for kind in found if kind in kinds]
    unread = not lines or set(found) <= {"classifier", "regressor"}  # none of these can read it
    return left or (found[:1] if unread else found)


def _first_lines(path: Path) -> list[str]:
    """Of a file; [] where it is empty. Raises UsageError for a missing one, CorpusError for one that is no text."""
    for block in read_line_blocks(path, PEEK_BYTES):
        lines = block.text.decode().split("\n")
        return lines if any(line.strip() for line in lines) else []
    return []


def _labels(lines: list[str], section: Mapping[str, Any]) -> list[str] | None:
    """The labels of labelled texts; None for a file of another form."""
    text, label = section.get("text_column", "text"), section.get("label_column", "label")
    some = [line for line in lines if line.strip()]
    if some[0].lstrip().startswith(FASTTEXT_PREFIX):
        return [line.split()[0].removeprefix(FASTTEXT_PREFIX) for line in some]
    if some[0].lstrip().startswith("{"):
        objects = [_object(line) for line in some]
        return [str(item[label]) for item in objects if label in item] if {text, label} <= objects[0].keys() else None
    try:
        rows = [line.split("\t") for line in some] if "\t" in some[0] else list(csv.reader(some))
    except csv.Error:
        return None
    header = [name.strip() for name in rows[0]]
    if not {text, label} <= set(header):
        return None
    at = header.index(label)
    return [row[at].strip() for row in rows[1:] if len(row) == len(header)]


def _object(line: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except ValueError:
        return {}
    return item if isinstance(item, dict) else {}


def _kinds_of_labels(labels: list[str]) -> tuple[str, ...]:
    """Words are chosen from, and so are two numbers; many fractions are measured; other numbers may be either."""
    numbers = {to_number(label) for label in labels}
    if None in numbers or len(numbers) <= 2:
        return ("classifier",)
    fractions = any(number is not None and not number.is_integer() for number in numbers)
    return ("regressor",) if fractions and len(numbers) > MOST_CLASSES else ("classifier", "regressor")


def _is_tagged(lines: list[str]) -> bool:
    """Lines that are all cut into as many columns, two or more, and blank ones between sentences."""
    shown = "\n".join(line for line in lines if not line.startswith(("#", "-DOCSTART-"))).strip("\n").split("\n")
    separator = "\t" if "\t" in shown[0] else None
    widths = {len(line.split(separator)) for line in shown if line.strip()}
    return len(widths) == 1 and min(widths) >= 2 and any(not line.strip() for line in shown)
