"""A language model and a prompt -> text, token by token."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rnncli.pipelines.models import load_language_model
from rnncli.rnn.generation import Sampling, Writer, generate
from rnncli.rnn.language import LanguageModel


@dataclass(frozen=True)
class Generation:
    """A model that is ready to write."""

    model: LanguageModel
    how: Sampling
    length: int
    stop_at_line: bool

    def after(self, prompt: str) -> Iterator[str]:
        """The text that follows the prompt, piece by piece."""
        writer = Writer(self.model, not prompt or prompt.endswith("\n") or prompt[-1].isspace())
        for token in generate(self.model, prompt, self.length, self.how):
            if self.stop_at_line and token == self.model.end_of_line:
                return
            yield writer.text_of(token)


def run(model: Path, how: Sampling, length: int, stop_at_line: bool = False) -> Generation:
    """Load a language model. Raises UsageError (missing) or ArtifactError (damaged, or another kind)."""
    return Generation(load_language_model(model), how, length, stop_at_line)
