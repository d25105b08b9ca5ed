"""rnncli import-torch: weights that torch trained, as a model of rnncli."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rnncli.cli.options import ForceOpt, JsonOpt, OutputOpt, QuietOpt


class Cell(StrEnum):
    """Which recurrence the weights are of."""

    AUTO = "auto"
    RNN = "rnn"
    RELU = "relu"
    LSTM = "lstm"
    GRU = "gru"


class Pooling(StrEnum):
    """What the head reads of the states."""

    LAST = "last"
    MEAN = "mean"
    MAX = "max"


class TokenizerChoice(StrEnum):
    """How texts are cut."""

    WORDS = "words"
    WHITESPACE = "whitespace"
    CHARS = "chars"
    BYTES = "bytes"


def import_torch(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="A state_dict saved with safetensors.")],
    output: OutputOpt,
    vocabulary: Annotated[
        Path, typer.Option("--vocabulary", help="A token a line, in the order of the embedding's rows.")
    ],
    labels: Annotated[Path, typer.Option("--labels", help="A label a line, in the order of the outputs.")],
    cell: Annotated[
        Cell, typer.Option("--cell", help="auto tells rnn (tanh), lstm and gru apart; relu must be said.")
    ] = Cell.AUTO,
    pooling: Annotated[Pooling, typer.Option("--pooling", help="What the head reads of the states.")] = Pooling.LAST,
    tokenizer: Annotated[
        TokenizerChoice, typer.Option("--tokenizer", help="How texts are cut.")
    ] = TokenizerChoice.WORDS,
    lowercase: Annotated[bool, typer.Option("--lowercase/--no-lowercase", help="Fold case before splitting.")] = True,
    force: ForceOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Take over a text classifier that torch trained: nn.Embedding, nn.RNN or nn.LSTM or nn.GRU, nn.Linear.

    The model it writes predicts the same; predict, evaluate, info and export take it.

    \b
    Examples:
      rnncli import-torch weights.safetensors --vocabulary words.txt --labels labels.txt -o runs/from-torch
      rnncli import-torch w.safetensors --vocabulary v.txt --labels l.txt --cell relu --tokenizer whitespace -o runs/r
    """
    from rnncli.cli.progress import show_progress
    from rnncli.cli.render import print_json
    from rnncli.pipelines import import_torch as pipeline

    source = pipeline.TorchModel(weights, vocabulary, labels, cell.value, pooling.value, tokenizer.value, lowercase)
    with show_progress("auto", quiet, False) as on_event:
        result = pipeline.run(source, output, force=force, on_event=on_event)
    if json:
        print_json(result.to_json())
        return
    ways = "both directions" if result.bidirectional else "one direction"
    typer.echo(f"{result.cell}  {result.layers} layers  {ways}  {result.hidden_size} units  {result.words:,} tokens")
    typer.echo(f"wrote {result.run}")
