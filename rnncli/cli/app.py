"""The program: its commands, and the funnel through which every ending goes out as an exit code and one line."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated, Any, cast

import typer

from rnncli import __version__
from rnncli.cli import (
    analogy,
    check_gradients,
    config,
    convert,
    doctor,
    eval_embeddings,
    evaluate,
    export,
    generate,
    import_torch,
    info,
    inspect_gradients,
    neighbors,
    predict,
    train_classifier,
    train_embeddings,
    train_lm,
    train_regressor,
    train_tagger,
    warmup,
)
from rnncli.errors import ExitCode, RnncliError, Terminated

# One row per command, in the order of --help. Modules import their pipelines inside the function, so a row costs
# nothing at start-up.
COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("train-embeddings", train_embeddings.train_embeddings),
    ("train-classifier", train_classifier.train_classifier),
    ("train-regressor", train_regressor.train_regressor),
    ("train-tagger", train_tagger.train_tagger),
    ("train-lm", train_lm.train_lm),
    ("predict", predict.predict),
    ("evaluate", evaluate.evaluate),
    ("generate", generate.generate),
    ("info", info.info),
    ("inspect-gradients", inspect_gradients.inspect_gradients),
    ("check-gradients", check_gradients.check_gradients),
    ("neighbors", neighbors.neighbors),
    ("analogy", analogy.analogy),
    ("eval-embeddings", eval_embeddings.eval_embeddings),
    ("convert", convert.convert),
    ("export", export.export),
    ("import-torch", import_torch.import_torch),
    ("doctor", doctor.doctor),
    ("warmup", warmup.warmup),
)
GROUPS: tuple[tuple[str, typer.Typer], ...] = (("config", config.app),)

# rich_markup_mode=None: plain help, so that --help does not import rich; errors are the funnel's business.
app = typer.Typer(
    name="rnncli",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _function in COMMANDS:
    app.command(_name)(_function)
for _name, _group in GROUPS:
    app.add_typer(_group, name=_name)

_usage_problem, _click_problem = (cast(type[Exception], kind) for kind in typer.BadParameter.__mro__[1:3])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rnncli {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; works anywhere.")] = False,
) -> None:
    """Word embeddings and recurrent neural networks: exact, repeatable, fast on a CPU.

    Data goes to standard output, everything else to standard error.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code (see docs/exit-codes.md) after everything was said and flushed."""
    # Wherever --debug stands, it is meant for the program.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end] or bool(os.environ.get("RNNCLI_DEBUG"))
    arguments = [word for i, word in enumerate(arguments) if i >= end or word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a word must not stop the program
            stream.reconfigure(errors="backslashreplace")
    with _sigterm_as_exception() as terminated:
        try:
            code = _run(arguments, debug)
            sys.stdout.flush()
        except BrokenPipeError:
            code = _closed_pipe()
    return ExitCode.TERMINATED if terminated and code == ExitCode.INTERRUPTED else code


def _run(arguments: list[str], debug: bool) -> int:
    try:
        # Typer returns the code of typer.Exit (130 after Ctrl-C), or what the command returned: nothing.
        code = typer.main.get_command(app).main(arguments, prog_name="rnncli", standalone_mode=False)
    except BrokenPipeError:
        return _closed_pipe()
    except RnncliError as error:
        _show(error, str(error), debug)
        return int(error.exit_code)
    except _click_problem as problem:
        _show(problem, _usage_text(problem), debug)
        return ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except SystemExit as stop:  # Typer's own answer to a closed pipe
        if isinstance(stop.__context__, BrokenPipeError):
            return _closed_pipe()
        return stop.code if isinstance(stop.code, int) else ExitCode.FAILED
    except MemoryError as error:
        _show(error, "out of memory; try smaller batches, a smaller vocabulary or shorter texts", debug)
        return ExitCode.FAILED
    except Exception as error:
        text = f"unexpected error: {type(error).__name__}: {error}; run again with --debug and report it"
        _show(error, text, debug)
        return ExitCode.FAILED
    if code == ExitCode.INTERRUPTED:
        _say("interrupted")
    return int(code or ExitCode.OK)


def _usage_text(problem: Exception) -> str:
    """A usage error in one line, with the help that would have told."""
    text = cast(Any, problem).format_message().replace("Value error, ", "")
    context = getattr(problem, "ctx", None)
    command = context.command_path if context is not None else "rnncli"
    return f"{text.rstrip('.')}; try '{command} --help'" if isinstance(problem, _usage_problem) else text


def _show(error: BaseException, text: str, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    _say(f"error: {text}")


def _say(text: str) -> None:
    """One line on standard error, whatever the text holds; nobody may be listening there any more."""
    with suppress(OSError):
        sys.stderr.write(f"rnncli: {' '.join(text.split())}\n")
        sys.stderr.flush()


def _closed_pipe() -> int:
    """The reader of our output has seen enough: end quietly, and keep Python from complaining at its own flush."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return ExitCode.OK


@contextmanager
def _sigterm_as_exception() -> Iterator[list[int]]:
    """Turn the first SIGTERM into an exception, so that runs clean up; the list fills when it came."""
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not seen:  # a second one must not break the clean-up of the first
            seen.append(number)
            raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: somebody else's program, their signals
        yield seen
        return
    try:
        yield seen
    finally:
        signal.signal(signal.SIGTERM, before)
