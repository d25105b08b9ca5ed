"""Files that ask what word vectors know: word pairs with a human score, and analogies in word2vec's form."""

import math
from dataclasses import dataclass
from pathlib import Path

from rnncli.data.streams import display_name, read_line_blocks
from rnncli.errors import CorpusError

COMPRESSED_SUFFIXES = {".gz", ".bz2", ".xz", ".zst"}
NO_SECTION = "(no section)"

Question = tuple[str, str, str, str]


@dataclass(frozen=True)
class WordPairs:
    """Pairs of words and how alike people found them."""

    name: str
    pairs: list[tuple[str, str]]
    scores: list[float]


@dataclass(frozen=True)
class AnalogySection:
    """Questions "a is to b as c is to d" under one heading."""

    name: str
    file: str
    questions: list[Question]


def read_word_pairs(path: Path) -> WordPairs:
    """Read lines of word1, word2 and a score between tabs, commas or white space, whichever a line has first in that order.

    Lines that begin with # and blank lines are left out, and so is a first line whose third field is no number (a
    header); fields after the third are ignored. Raises UsageError for a missing file, CorpusError with file and line.
    """
    name = display_name(path)
    pairs: list[tuple[str, str]] = []
    scores: list[float] = []
    header_allowed = True
    for number, line in _lines(path):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t" if "\t" in line else "," if "," in line else None)]
        if len(fields) < 3 or not fields[0] or not fields[1]:
            raise CorpusError(f"{name}:{number}: a word pair needs two words and a score; {_shown(line)}")
        score = _number(fields[2])
        if score is None and not header_allowed:
            raise CorpusError(f"{name}:{number}: the score {fields[2]!r} is not a number; write word1, word2, score")
        header_allowed = False
        if score is not None:
            pairs.append((fields[0], fields[1]))
            scores.append(score)
    if not pairs:
        raise CorpusError(f"{name}: no word pair in it; write lines of word1, word2, score")
    return WordPairs(_stem(path), pairs, scores)


def read_analogies(path: Path) -> list[AnalogySection]:
    """Read lines `: name of section` and lines of four words; blank lines are left out, sections may be empty.

    Raises UsageError for a missing file, CorpusError with file and line.
    """
    name = display_name(path)
    sections: list[AnalogySection] = []
    for number, line in _lines(path):
        words = line.split()
        if not words:
            continue
        if words[0].startswith(":"):
            sections.append(AnalogySection(line.strip()[1:].strip(), _stem(path), []))
        elif len(words) != 4:
            raise CorpusError(f"{name}:{number}: an analogy is four words (or `: section`); {_shown(line)}")
        else:
            if not sections:
                sections.append(AnalogySection(NO_SECTION, _stem(path), []))
            sections[-1].questions.append((words[0], words[1], words[2], words[3]))
    if not any(section.questions for section in sections):
        raise CorpusError(f"{name}: no analogy in it; write lines of four words")
    return sections


def _lines(path: Path) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    for block in read_line_blocks(path):
        lines += enumerate(block.text.decode().removesuffix("\n").split("\n"), start=block.first_line)
    return lines


def _number(field: str) -> float | None:
    try:
        value = float(field)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _shown(line: str) -> str:
    text = line.strip()
    return f"this line has {text[:40]!r}" + ("..." if len(text) > 40 else "")


def _stem(path: Path) -> str:
    """The file's name without its folder and its endings."""
    while path.suffix.lower() in COMPRESSED_SUFFIXES:
        path = path.with_suffix("")
    return "standard input" if str(path) == "-" else path.stem
