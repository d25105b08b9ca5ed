"""`rnncli config`: write a config to start from, show where values come from, check files, print a JSON Schema."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnncli.cli.options import ConfigOpt, JsonOpt, SetOpt
from rnncli.cli.render import print_json, print_table
from rnncli.errors import ExitCode, RnncliError, UsageError

if TYPE_CHECKING:
    from rnncli.config.base import StrictModel

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, help="Write, show and check configs.")


class ConfigCommand(StrEnum):
    """The commands that take a config."""

    TRAIN_CLASSIFIER = "train-classifier"
    TRAIN_REGRESSOR = "train-regressor"
    TRAIN_TAGGER = "train-tagger"
    TRAIN_LM = "train-lm"
    TRAIN_EMBEDDINGS = "train-embeddings"
    INSPECT_GRADIENTS = "inspect-gradients"
    CHECK_GRADIENTS = "check-gradients"


CommandArg = Annotated[ConfigCommand, typer.Argument(metavar="COMMAND", help="The command it is for.")]
ForOpt = Annotated[
    ConfigCommand | None,
    typer.Option("--for", metavar="COMMAND", help="The command it is for; otherwise told from the keys."),
]


@app.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    """Write, show and check configs."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)


@app.command("init")
def init(
    command: CommandArg,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file, not to standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a config with every key, its meaning and its default.

    \b
    Examples:
      rnncli config init train-classifier -o sentiment.yaml
      rnncli config init train-embeddings | less
    """
    from rnncli.config.load import template_yaml

    text = template_yaml(_schemas()[command])
    if output is None or str(output) == "-":
        typer.echo(text, nl=False)
        return
    if output.exists() and not force:
        raise UsageError(f"{output}: exists already; --force overwrites it")
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror or error}") from None


@app.command("show")
def show(config: ConfigOpt = None, set_: SetOpt = None, for_: ForOpt = None, json: JsonOpt = False) -> None:
    """Print every value of a config and where it came from.

    \b
    A flag wins over --set, --set over the environment (RNNCLI_SEED, RNNCLI_TRAINING__LR), the environment over
    the file, the file over the default.
    \b
    Examples:
      rnncli config show -c sentiment.yaml
      rnncli config show -c sentiment.yaml --set training.lr=1e-2 --json
    """
    from rnncli.config.load import load_config, read_config_file
    from rnncli.config.yaml12 import dotted, dump_value

    content = None if config is None else read_config_file(config)
    if content is None and for_ is None:
        raise UsageError("give a config (-c FILE) or name the command (--for train-classifier)")
    command = for_ or _commands_of(str(config), content[0] if content else {})[0]
    loaded = load_config(_schemas()[command], config, set_ or (), content=content)
    values = _flat(loaded.config.model_dump(mode="json"))
    if json:
        keys = {dotted(k): {"value": v, "origin": loaded.origin[dotted(k)]} for k, v in values.items()}
        print_json({"command": str(command), "keys": keys})
    else:
        rows = [(dotted(k), dump_value(v), loaded.origin[dotted(k)]) for k, v in values.items()]
        print_table("", ("key", "value", "origin"), rows)


@app.command("validate")
def validate(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Configs to check.")] = None,
    config: Annotated[
        list[Path] | None, typer.Option("--config", "-c", metavar="FILE", help="The same; may be repeated.")
    ] = None,
    for_: ForOpt = None,
    json: JsonOpt = False,
) -> None:
    """Check configs without running anything.

    Ends with 2 when one does not hold.

    \b
    Examples:
      rnncli config validate configs/*.yaml
      rnncli config validate -c sentiment.yaml --for train-classifier
    """
    from rnncli.config.load import load_config, read_config_file

    paths = [*(config or ()), *(files or ())]
    if not paths:
        raise UsageError("no config named; give files, as in rnncli config validate configs/*.yaml")
    results: list[dict[str, Any]] = []
    for path in paths:
        fitting: list[ConfigCommand] = []
        problem = None
        try:
            content = read_config_file(path)
            fitting = [for_] if for_ else _commands_of(str(path), content[0])
            for command in fitting:  # the same keys mean the same in each
                load_config(_schemas()[command], path, environ={}, content=content)
        except RnncliError as error:
            problem = str(error)
            typer.echo(f"rnncli: error: {problem}", err=True)
        name = ", ".join(fitting) or None
        results.append({"path": str(path), "command": name, "ok": problem is None, "error": problem})
        if problem is None and not json:
            typer.echo(f"{path}: ok ({name})")
    if json:
        print_json({"files": results})
    if not all(result["ok"] for result in results):
        raise typer.Exit(ExitCode.USAGE)


@app.command("schema")
def schema(command: CommandArg) -> None:
    """Print the JSON Schema of a command's config.

    Editors complete and check YAML with it.

    \b
    Examples:
      rnncli config schema train-classifier > classifier.schema.json
      rnncli config schema train-embeddings | jq '.properties | keys'
    """
    from rnncli.config.load import json_schema

    print_json(json_schema(_schemas()[command]))


def _schemas() -> "dict[ConfigCommand, type[StrictModel]]":
    from rnncli.config.embeddings import EmbeddingsConfig
    from rnncli.config.inspection import GradientCheckConfig, InspectConfig
    from rnncli.config.regression import RegressorConfig
    from rnncli.config.rnn import ClassifierConfig
    from rnncli.config.sequences import LanguageModelConfig, TaggerConfig

    return {
        ConfigCommand.TRAIN_CLASSIFIER: ClassifierConfig,
        ConfigCommand.TRAIN_REGRESSOR: RegressorConfig,
        ConfigCommand.TRAIN_TAGGER: TaggerConfig,
        ConfigCommand.TRAIN_LM: LanguageModelConfig,
        ConfigCommand.TRAIN_EMBEDDINGS: EmbeddingsConfig,
        ConfigCommand.INSPECT_GRADIENTS: InspectConfig,
        ConfigCommand.CHECK_GRADIENTS: GradientCheckConfig,
    }


def _commands_of(path: str, tree: dict[str, Any]) -> list[ConfigCommand]:
    """The commands a config may be for: those that have most of its required sections, then of its keys."""
    from rnncli.config.keys import best_fitting

    found = best_fitting(tree, _schemas())
    if not found:
        raise UsageError(f"{path}: its keys fit no command; name the command (--for train-classifier)")
    return found


def _flat(tree: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    out: dict[tuple[str | int, ...], Any] = {}
    for name, value in tree.items():
        out |= _flat(value, (*above, name)) if isinstance(value, dict) else {(*above, name): value}
    return out
