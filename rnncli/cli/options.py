"""Options that several commands share, each with its help, and what happens before a pipeline is imported."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ProgressMode(StrEnum):
    """How a run talks while it works."""

    AUTO = "auto"
    BAR = "bar"
    JSONL = "jsonl"
    NONE = "none"


ConfigOpt = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML config; - reads it from standard input."),
]
OutputOpt = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the run; it must be new or empty.")
]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a config key, as in training.lr=1e-2; may be repeated."),
]
SeedOpt = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="N", help="Names every random draw; equal seeds, equal results.")
]
ThreadsOpt = Annotated[
    int | None,
    typer.Option("--threads", min=0, metavar="N", help="Threads, 0 for all cores; does not change the result."),
]
JsonOpt = Annotated[bool, typer.Option("--json", help="One JSON document on standard output instead of text.")]
QuietOpt = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on standard error.")]
VerboseOpt = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error: phases, checkpoints.")]
ForceOpt = Annotated[bool, typer.Option("--force", help="Overwrite the run that is in the output folder.")]
InspectEveryOpt = Annotated[
    int | None,
    typer.Option(
        "--inspect-every",
        min=1,
        metavar="N",
        help="Record every N updates how gradients travel back; `inspect-gradients RUN` shows it. Changes no result.",
    ),
]
ResumeOpt = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")]
ProgressOpt = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        help="On standard error: a bar on a terminal and lines elsewhere (auto), a bar, JSON lines, or nothing.",
    ),
]


def set_thread_environment(threads: int | None) -> None:
    """Tell the kernels how many threads are wanted; numba reads it once, so call this before importing a pipeline."""
    if threads is not None:
        os.environ["RNNCLI_THREADS"] = str(threads)


def given_flags(**flags: object) -> dict[str, object]:
    """The flags that were given, by config key: those are the ones that outweigh the config."""
    return {key: value for key, value in flags.items() if value is not None}
