"""rnncli analogy: a is to b as c is to what?"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnncli.cli.options import JsonOpt, ThreadsOpt, set_thread_environment

if TYPE_CHECKING:
    from rnncli.results import AnalogyResult


class Method(StrEnum):
    """How candidates are scored."""

    ADD = "add"
    MUL = "mul"


def analogy(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run folder, model file or any word-vector file.")],
    words: Annotated[list[str], typer.Argument(metavar="A B C|-", help="Three words; - reads lines of three words.")],
    k: Annotated[int, typer.Option("--top", "-k", min=1, metavar="N", help="How many answers.")] = 10,
    method: Annotated[
        Method, typer.Option("--method", help="3CosAdd (sum of cosines) or 3CosMul (product of cosines).")
    ] = Method.ADD,
    json: JsonOpt = False,
    threads: ThreadsOpt = None,
) -> None:
    """Answer "A is to B as C is to what?" by vector arithmetic.

    A, B and C themselves are left out. With - every line of standard input gives one line, in order.

    \b
    Examples:
      rnncli analogy runs/vectors Athens Greece Oslo
      grep -v '^:' sample_data/analogies.txt | cut -d' ' -f1-3 | rnncli analogy runs/vectors - --top 1 --json
    """
    set_thread_environment(threads)
    import sys

    from rnncli.cli.render import print_json_line
    from rnncli.errors import CheckFailedError, UsageError
    from rnncli.pipelines import analogy as pipeline

    piped = words == ["-"]
    if not piped and len(words) != 3:
        raise UsageError(f"an analogy takes three words, not {len(words)}; give A B C, or - for lines of three words")
    batches = _piped_questions() if piped else iter([[(words[0], words[1], words[2])]])
    for result in pipeline.run(model, batches, k, method.value, threads or 0):
        if json:
            print_json_line(result.to_json())
        elif piped:
            typer.echo(_line(result))
        elif result.found:
            _print(result)
        else:
            names = ", ".join(repr(word) for word in result.missing)
            raise CheckFailedError(f"no vector for {names}; try other words or another model")
        if piped:
            sys.stdout.flush()  # whoever writes our input may wait for the answer


def _piped_questions() -> Iterator[list[tuple[str, str, str]]]:
    from rnncli.data.arrivals import arriving_lines
    from rnncli.errors import CorpusError

    for lines in arriving_lines(Path("-")):
        questions: list[tuple[str, str, str]] = []
        for number, text in lines:
            words = text.split()
            if len(words) != 3:
                if questions:
                    yield questions  # the lines before it have answers
                raise CorpusError(
                    f"standard input:{number}: an analogy takes three words, this line has {len(words)}; write A B C"
                )
            questions.append((words[0], words[1], words[2]))
        yield questions


def _print(result: "AnalogyResult") -> None:
    from rnncli.cli.render import print_table

    a, b, c = result.question
    score = "cosine" if result.method == "add" else "score"
    print_table(f"{a} : {b} = {c} : ?", ["word", score], [(answer.word, answer.score) for answer in result.answers])


def _line(result: "AnalogyResult") -> str:
    """One line: the question, then each answer with its score, between tabs."""
    from rnncli.cli.render import printable

    fields = [" ".join(result.question)]
    if result.found:
        fields += [f"{answer.word} {answer.score:.4f}" for answer in result.answers]
    else:
        fields.append(f"no vector for {', '.join(result.missing)}")
    return "\t".join(map(printable, fields))
