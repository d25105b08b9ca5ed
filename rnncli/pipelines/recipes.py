"""The table of recipes: which config trains which kind of model, and what prepares its run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncli.config.keys import best_fitting
from rnncli.config.load import load_config, read_config_file
from rnncli.config.regression import RegressorConfig
from rnncli.config.rnn import ClassifierConfig
from rnncli.config.sequences import LanguageModelConfig, TaggerConfig
from rnncli.errors import ArtifactError, UsageError
from rnncli.events import OnEvent
from rnncli.pipelines import train_classifier, train_lm, train_regressor, train_tagger
from rnncli.pipelines.training_run import Prepared

RecipeConfig = ClassifierConfig | RegressorConfig | TaggerConfig | LanguageModelConfig


@dataclass(frozen=True)
class Recipe:
    """One kind of model: its config and what its command makes of it."""

    task: str  # the kind that a model file names
    schema: type[RecipeConfig]
    prepare: Callable[[Any, OnEvent], Prepared]


RECIPES = {
    recipe.task: recipe
    for recipe in (
        Recipe("classifier", ClassifierConfig, train_classifier.prepare_run),
        Recipe("regressor", RegressorConfig, train_regressor.prepare_run),
        Recipe("tagger", TaggerConfig, train_tagger.prepare_run),
        Recipe("language-model", LanguageModelConfig, train_lm.prepare_run),
    )
}


def recipe_file(path: Path, overrides: tuple[str, ...] = ()) -> tuple[Recipe, RecipeConfig]:
    """A recipe from its YAML file; the kind is the one that its keys fit. Raises UsageError, ConfigError."""
    content = read_config_file(path)
    found = best_fitting(content[0], {task: recipe.schema for task, recipe in RECIPES.items()})
    if not found:
        raise UsageError(f"{path}: its keys fit no recipe of train-classifier, -regressor, -tagger or -lm")
    recipe = RECIPES[found[0]]
    return recipe, load_config(recipe.schema, path, overrides, content=content).config


def stored_recipe(path: Path, kind: str, meta: dict[str, Any]) -> tuple[Recipe, RecipeConfig]:
    """The recipe that a model was trained by, out of its model file."""
    recipe = RECIPES.get(kind)
    if recipe is None or "config" not in meta:
        raise ArtifactError(f"{path}: does not say what recipe it was trained by")
    try:
        return recipe, recipe.schema(**meta["config"])
    except ValueError as error:  # what validation raises
        raise ArtifactError(f"{path}: its stored recipe does not fit this release; {error}") from error
