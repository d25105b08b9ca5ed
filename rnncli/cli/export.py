"""rnncli export: a recurrent model as an ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import ForceOpt, JsonOpt


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder or model file of a recurrent network.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The ONNX file to write.")],
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Write a recurrent network as ONNX, for onnxruntime and others; it is compared with the model first.

    Vocabulary, labels and tokenizer are in the file's properties. Needs pip install 'rnncli[onnx]'.

    \b
    Examples:
      rnncli export runs/topics -o topics.onnx
      rnncli export runs/tagged -o tagged.onnx --force --json | jq .largest_difference
    """
    from rnncli.cli.render import print_json
    from rnncli.pipelines import export as pipeline

    result = pipeline.run(model, output, force)
    if json:
        print_json(result.to_json())
        return
    checked = "not compared (onnxruntime is not installed)"
    if result.largest_difference is not None:
        checked = f"largest difference from the model {result.largest_difference:.2g}"
    typer.echo(f"wrote {result.output}  {result.bytes:,} bytes  operator set {result.opset}  {checked}")
