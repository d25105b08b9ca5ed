"""The table of recipes: which config trains which kind of model, and what prepares its run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncli.config.regression import RegressorConfig
from rnncli.config.rnn import ClassifierConfig
from rnncli.config.sequences import LanguageModelConfig, TaggerConfig
from rnncli.errors import ArtifactError
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


def stored_recipe(path: Path, kind: str, meta: dict[str, Any]) -> tuple[Recipe, RecipeConfig]:
    """The recipe that a model was trained by, out of its model file."""
    recipe = RECIPES.get(kind)
    if recipe is None or "config" not in meta:
        raise ArtifactError(f"{path}: does not say what recipe it was trained by")
    try:
        return recipe, recipe.schema(**meta["config"])
    except ValueError as error:  # what validation raises
        raise ArtifactError(f"{path}: its stored recipe does not fit this release; {error}") from error
