"""Running text as numbers: one long row of token ids, the end of every line among them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnncli.data.streams import display_name, read_line_blocks
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary, VocabularyReport
from rnncli.errors import CorpusError

END_OF_LINE = "\n"


@dataclass(frozen=True, eq=False)
class RunningText:
    """The tokens of a text, line after line, and how many characters it has."""

    tokens: Any  # pa.ChunkedArray of strings, dictionary encoded
    characters: int  # code points, line ends included

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class RunningIds:
    """Token ids of a text."""

    ids: NDArray[np.int32]  # (tokens,)
    end_of_line: int
    characters: int  # 0 where they are not known
    unknown_share: float = 0.0  # of the tokens


def read_running(path: Path, tokenizer: Tokenizer) -> RunningText:
    """All tokens of a text file, END_OF_LINE after each line. Raises UsageError and CorpusError."""
    chunks, characters = [], 0
    for block in read_line_blocks(path):
        cut = tokenizer.split_block(block.text)
        characters += int(pc.utf8_length(pa.scalar(block.text.decode())).as_py())
        lines = len(cut.offsets) - 1
        take = np.full(int(cut.offsets[-1]) + lines, int(cut.offsets[-1]), np.int64)  # the appended END_OF_LINE
        at = np.arange(int(cut.offsets[-1])) + np.repeat(np.arange(lines), np.diff(cut.offsets))
        take[at] = np.arange(int(cut.offsets[-1]))
        tokens = pa.concat_arrays([cut.tokens.cast(pa.string()), pa.array([END_OF_LINE], pa.string())])
        chunks.append(tokens.dictionary_encode().take(pa.array(take)))
    if not chunks:
        raise CorpusError(f"{display_name(path)}: the file is empty; it needs text")
    return RunningText(pa.chunked_array(chunks), characters)


def build_running_vocabulary(
    text: RunningText, min_count: int, max_vocab: int | None
) -> tuple[Vocabulary, VocabularyReport]:
    """The vocabulary of a text; END_OF_LINE is always in it."""
    counts: dict[str, int] = {}
    for chunk in text.tokens.chunks:
        found = np.bincount(chunk.indices.to_numpy(), minlength=len(chunk.dictionary))
        for word, count in zip(chunk.dictionary.to_pylist(), found.tolist(), strict=True):
            counts[word] = counts.get(word, 0) + count
    lines = counts.pop(END_OF_LINE)
    room = None if max_vocab is None else max(max_vocab - 1, 0)
    vocab, report = Vocabulary.build(counts, min_count, room, unknown=True)
    with_lines = np.append(vocab.counts, lines)
    return Vocabulary([*vocab.tokens, END_OF_LINE], with_lines, has_unknown=True), report


def encode_running(text: RunningText, vocab: Vocabulary) -> RunningIds:
    """The ids of a text."""
    ids = np.concatenate([vocab.encode(chunk.dictionary)[chunk.indices.to_numpy()] for chunk in text.tokens.chunks])
    return RunningIds(ids, vocab.ids[END_OF_LINE], text.characters, float((ids == 0).mean()))


def split_running(data: RunningIds, fraction: float) -> tuple[RunningIds, RunningIds]:
    """The text without its last `fraction`, and that."""
    n = data.ids.size
    held = min(max(1, round(n * fraction)), n - 1)
    parts = []
    for ids in (data.ids[: n - held], data.ids[n - held :]):
        characters = ids.size if data.characters == n else 0  # elsewhere they are not known token by token
        parts.append(RunningIds(ids, data.end_of_line, characters, float((ids == 0).mean())))
    return parts[0], parts[1]
