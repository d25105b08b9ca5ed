"""rnncli check-gradients: are the gradients of a recipe's network right?"""

from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import JsonOpt, SetOpt, given_flags


def check_gradients(
    config: Annotated[
        Path,
        typer.Option("--config", "-c", metavar="FILE", help="A train-classifier recipe, or a config that names one."),
    ],
    set_: SetOpt = None,
    sequences: Annotated[
        int | None, typer.Option("--sequences", min=1, metavar="N", help="Sequences in the checked batch.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, metavar="N", help="Longest checked sequence in tokens.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", metavar="X", help="Largest relative error that passes.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Compare every parameter's gradient with central differences in float64; exit 3 when one is wrong.

    \b
    Examples:
      rnncli check-gradients -c configs/topics.yaml
      rnncli check-gradients -c configs/topics.yaml --set model.cell=relu --json
    """
    from rnncli.cli.render import print_json, print_table
    from rnncli.config.inspection import GradientCheckConfig
    from rnncli.config.load import load_config, read_config_file
    from rnncli.config.rnn import ClassifierConfig
    from rnncli.errors import CheckFailedError
    from rnncli.pipelines import check_gradients as pipeline

    flags = given_flags(sequences=sequences, max_length=max_length, tolerance=tolerance)
    content = read_config_file(config)
    if "data" in content[0]:
        check = load_config(GradientCheckConfig, None, (), {"config": str(config), **flags}).config
    else:
        check = load_config(GradientCheckConfig, config, (), flags, content=content).config
        content = read_config_file(check.config)
    recipe = load_config(ClassifierConfig, check.config, set_ or (), content=content).config
    result = pipeline.run(recipe, check)
    if json:
        print_json(result.to_json())
    else:
        rows = [(r.name, "x".join(map(str, r.shape)), r.checked, r.relative_error) for r in result.parameters]
        print_table("", ["parameter", "shape", "checked", "relative error"], rows)
        typer.echo(
            f"\nworst {result.worst:.2e}  tolerance {result.tolerance:.0e}  {'ok' if result.passed else 'FAILED'}"
        )
    if not result.passed:
        wrong = [r.name for r in result.parameters if r.relative_error > result.tolerance]
        raise CheckFailedError(
            f"gradients differ from central differences by more than {result.tolerance:g}: {', '.join(wrong)}"
        )
