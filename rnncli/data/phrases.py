"""Words that belong together become one token: "new york" -> "new_york", in a corpus of ids on disk.

Pairs of neighbours are scored, as in Mikolov et al. 2013, "Distributed representations of words and phrases and their
compositionality", equation 6, times the number of tokens (so that a threshold means the same in texts of any length, as
in word2phrase.c). Passes after the first can join phrases to longer ones.
"""

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnncli.config.text import PhrasesConfig
from rnncli.data import idfiles
from rnncli.data.idfiles import IDS, OFFSETS, IdStore, is_usable, new_folder, publish, seal, store_name
from rnncli.data.idstore import build_id_store
from rnncli.data.streams import STDIN
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary, VocabularyReport
from rnncli.errors import CorpusError, RnncliError
from rnncli.events import Note, OnEvent, PhaseStarted, Progressed, ignore
from rnncli.kernels import phrases as kernels

FORMAT = 1  # raise it when the same config joins differently
STEP_TOKENS = 1 << 22  # between two signs of progress
LARGEST_FILTER = 1 << 27  # bytes
FIRST_TABLE, LARGEST_TABLE = 1 << 16, 1 << 24  # slots of 16 bytes; pairs that do not fit are counted in more sweeps
SLACK = 1 - 1e-9  # rounding never hides a pair from the exact score

Rewriting = Callable[[NDArray[np.int32], NDArray[np.int64], int, int], tuple[int, int, int, int]]


@dataclass(frozen=True, eq=False)
class PhrasedCorpus(IdStore):
    """A corpus with phrases joined and its vocabulary cut; `sha256` is that of the content: ids, lines, vocabulary."""

    phrases: int  # kept tokens that the text itself does not have


class Lines(NamedTuple):
    """Line i holds the tokens ids[offsets[i] : offsets[i + 1]]."""

    ids: NDArray[np.int32]  # (N,)
    offsets: NDArray[np.int64]  # (L + 1,)


class ScoredPairs(NamedTuple):
    """Pairs (R,) above the threshold, sorted by first and then by second token."""

    firsts: NDArray[np.int64]
    seconds: NDArray[np.int64]
    tallies: NDArray[np.int64]  # how often the pair is there, overlaps counted
    scores: NDArray[np.float64]


def build_phrased_store(
    paths: Sequence[Path],
    tokenizer: Tokenizer,
    phrases: PhrasesConfig,
    min_count: int,
    max_vocab: int | None,
    cache: Path | None,
    on_event: OnEvent = ignore,
) -> IdStore:
    """The id store of text files, phrases joined as `phrases` says (PhrasedCorpus), then the vocabulary cut.

    Without passes it is `build_id_store`, whose errors it raises. Kept in the folder `cache` and used again as there.
    """
    if not phrases.passes:
        return build_id_store(paths, tokenizer, min_count, max_vocab, False, cache, on_event)
    store = build_id_store(paths, tokenizer, 1, None, False, cache, on_event)
    final = None
    if cache is not None and is_usable(cache) and all(path != STDIN and path.is_file() for path in paths):
        final = cache / _name(store_name(store.sha256, tokenizer, 1, None, False), phrases, min_count, max_vocab)
        found = _load(final, store)
        if found is not None:
            on_event(Note(f"phrases of an earlier run are used again ({found.tokens} tokens, from {cache})"))
            return found
    try:
        folder = new_folder(cache if cache is not None and final is not None else Path(tempfile.gettempdir()))
        try:
            corpus = join_phrases(store, phrases, min_count, max_vocab, folder, on_event)
            if final is not None:
                publish(folder, final)
                corpus = _loaded(final, store)
            else:
                weakref.finalize(corpus, shutil.rmtree, folder, ignore_errors=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise RnncliError(f"cannot write token ids: {error}; free some space or set XDG_CACHE_HOME") from error
    return corpus


def join_phrases(
    store: IdStore,
    config: PhrasesConfig,
    min_count: int,
    max_vocab: int | None,
    folder: Path,
    on_event: OnEvent = ignore,
) -> PhrasedCorpus:
    """Join phrases in `store`, then keep tokens seen `min_count` times, at most `max_vocab` of them.

    In each of `config.passes` passes a pair a b of a line is joined when

        (count(a b) - discount) / (count(a) * count(b)) * tokens  >  threshold

    from left to right, the first pair that fits wins. A phrase that is spelt like a word of the text is that word.
    `store` must hold all tokens (min_count 1, no limit, no unknown). The result is written to the folder and mapped
    from there, so the folder has to stay; lines that end up empty stay, as empty lines. Equal texts and configs give
    equal results. Raises CorpusError when nothing is left, OSError when the disk fails.
    """
    if store.vocab.has_unknown:
        raise ValueError("phrases are joined before rare words become unknown: build the store with unknown=False")
    numbers = dict(store.vocab.ids)
    counts = store.vocab.counts
    lines = Lines(store.ids, store.offsets)
    for i in range(config.passes):
        on_event(PhaseStarted(f"joining phrases, pass {i + 1} of {config.passes}", 3 * len(lines.ids), "tokens"))
        threshold = config.threshold * 0.5**i if config.halve_threshold else config.threshold
        found = find_pairs(lines, counts, threshold, config.discount, on_event)
        files = folder / f"pass{i}.i32", folder / f"pass{i}.i64"
        joined, counts = _join(lines, found, numbers, config.separator, files, on_event)
        on_event(
            Note(
                f"phrases, pass {i + 1}: {len(found.firsts):,} pairs above {threshold:g}; {len(lines.ids):,} tokens "
                f"became {len(joined.ids):,}"
            )
        )
        lines = joined
        if i:
            _remove_pass(folder, i - 1)
        if not len(found.firsts) and not config.halve_threshold:
            break
    vocab, report = _cut(numbers, counts, min_count, max_vocab)
    missing = vocab.ids.get
    remap = np.fromiter((missing(token, -1) for token in numbers), np.int32, len(numbers))

    def renumber(out: NDArray[np.int32], ends: NDArray[np.int64], at: int, line: int) -> tuple[int, int, int, int]:
        return kernels.renumber(out, ends, lines.ids, lines.offsets, remap, at, line)  # type: ignore[no-any-return]

    _rewrite(len(lines.offsets) - 1, (folder / IDS, folder / OFFSETS), renumber)
    for i in range(config.passes):
        _remove_pass(folder, i)
    seal(folder, vocab, report, _content_digest(folder, vocab))
    return _loaded(folder, store)


def find_pairs(
    lines: Lines,
    counts: NDArray[np.int64],
    threshold: float,
    discount: float,
    on_event: OnEvent = ignore,
) -> ScoredPairs:
    """All pairs of neighbours whose score is above the threshold; counts (V,) are those of the tokens of `lines`.

    Two sweeps and bounded memory: the first leaves a filter that says which pairs cannot be frequent enough, the second
    counts the others; where they are too many, part by part in more sweeps.
    """
    n = len(lines.ids)
    pairs = kernels.Pairs(lines.ids, lines.offsets, counts, discount * SLACK, threshold / n * SLACK)
    seen = np.zeros(min(_power_of_two(2 * n), LARGEST_FILTER), np.uint8)
    line = 0
    for start in range(0, n, STEP_TOKENS):
        stop = min(start + STEP_TOKENS, n)
        line = kernels.filter_pairs(seen, pairs, start, stop, line)
        on_event(Progressed(stop))
    parts = 1
    while True:
        found = []
        for part in range(parts):
            table = _count_part(seen, pairs, part, parts, on_event)
            if table is None:
                break
            found.append(_above(*table, counts, n, threshold, discount))
        else:
            break
        parts *= 2
    firsts, seconds, tallies, scores = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((seconds, firsts))
    return ScoredPairs(firsts[order], seconds[order], tallies[order], scores[order])


def _count_part(
    seen: NDArray[np.uint8], pairs: kernels.Pairs, part: int, parts: int, on_event: OnEvent
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Keys and counts of one part of the pairs; None when the largest table cannot hold it."""
    n = len(pairs.ids)
    keys, tallies = _table(min(FIRST_TABLE, LARGEST_TABLE))
    at, line, used = 0, 0, 0
    while at < n:
        room = len(keys) // 4 * 3
        stop = min(at - at % STEP_TOKENS + STEP_TOKENS, n)
        at, line, used = kernels.count_pairs(keys, tallies, seen, pairs, used, room, part, parts, at, stop, line)
        if at < stop:
            if 2 * len(keys) > LARGEST_TABLE:
                return None
            larger = _table(2 * len(keys))
            kernels.move_pairs(*larger, keys, tallies)
            keys, tallies = larger
        on_event(Progressed(n + (part * n + at) // parts))
    taken = keys != kernels.FREE
    return keys[taken], tallies[taken]


def _table(slots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.full(slots, kernels.FREE, np.int64), np.zeros(slots, np.int64)


def _above(
    keys: NDArray[np.int64],
    tallies: NDArray[np.int64],
    counts: NDArray[np.int64],
    tokens: int,
    threshold: float,
    discount: float,
) -> ScoredPairs:
    firsts, seconds = np.divmod(keys, len(counts))
    scores = (tallies - discount) / (counts[firsts].astype(np.float64) * counts[seconds]) * tokens
    kept = scores > threshold
    return ScoredPairs(firsts[kept], seconds[kept], tallies[kept], scores[kept])


def _join(
    lines: Lines,
    found: ScoredPairs,
    numbers: dict[str, int],
    separator: str,
    files: tuple[Path, Path],
    on_event: OnEvent,
) -> tuple[Lines, NDArray[np.int64]]:
    """One pass: the joined lines and the counts of all tokens; new tokens go into `numbers`."""
    n, types = len(lines.ids), len(numbers)
    tokens = list(numbers)
    names = (
        tokens[a] + separator + tokens[b] for a, b in zip(found.firsts.tolist(), found.seconds.tolist(), strict=True)
    )
    joined = np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), np.int32, len(found.firsts))
    bounds = np.searchsorted(found.firsts, np.arange(types + 1)).astype(np.int64)
    phrases = kernels.Phrases(bounds, found.seconds.astype(np.int32), joined)
    counts = np.zeros(len(numbers), np.int64)

    def step(out: NDArray[np.int32], ends: NDArray[np.int64], at: int, line: int) -> tuple[int, int, int, int]:
        done: tuple[int, int, int, int] = kernels.join_pairs(
            out, ends, counts, lines.ids, lines.offsets, phrases, at, line
        )
        on_event(Progressed(2 * n + done[0]))
        return done

    _rewrite(len(lines.offsets) - 1, files, step)
    # Copy on write, as the ids of a store: kernels see one type of array.
    ids = np.asarray(np.memmap(files[0], np.int32, mode="c"))
    offsets = np.asarray(np.memmap(files[1], np.int64, mode="c"))
    return Lines(ids, offsets), counts


def _rewrite(n_lines: int, files: tuple[Path, Path], step: Rewriting) -> None:
    """Write what `step` makes of a corpus of so many lines, block by block, into a file of ids and one of offsets."""
    out, ends = np.empty(STEP_TOKENS, np.int32), np.empty(max(1, STEP_TOKENS // 4), np.int64)
    at, line, done = 0, 0, 0
    with files[0].open("wb") as ids_file, files[1].open("wb") as offsets_file:
        np.zeros(1, np.int64).tofile(offsets_file)
        while line < n_lines:
            at, line, written, lines = step(out, ends, at, line)
            out[:written].tofile(ids_file)
            (ends[:lines] + done).tofile(offsets_file)
            done += written


def _cut(
    numbers: dict[str, int], counts: NDArray[np.int64], min_count: int, max_vocab: int | None
) -> tuple[Vocabulary, VocabularyReport]:
    """The vocabulary of the joined corpus; words that are now always part of a phrase are no types of it."""
    there = counts > 0
    tokens = pa.array(list(numbers), type=pa.large_string()).filter(pa.array(there))
    vocab, report = Vocabulary.build((tokens, counts[there]), min_count, max_vocab, unknown=False)
    if not report.kept_types:
        raise CorpusError(
            f"after joining phrases no token is seen min_count = {min_count} times (the most frequent one "
            f"{counts.max()} times); lower min_count or give more text"
        )
    return vocab, report


def _remove_pass(folder: Path, i: int) -> None:
    (folder / f"pass{i}.i32").unlink(missing_ok=True)
    (folder / f"pass{i}.i64").unlink(missing_ok=True)


def _content_digest(folder: Path, vocab: Vocabulary) -> str:
    parts = [vocab.to_bytes()]
    for name in (IDS, OFFSETS):
        with (folder / name).open("rb") as file:
            parts.append(hashlib.file_digest(file, "sha256").digest())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _name(source: str, phrases: PhrasesConfig, min_count: int, max_vocab: int | None) -> str:
    made_from = [FORMAT, source, phrases.model_dump(mode="json"), min_count, max_vocab]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:32]


def _load(folder: Path, source: IdStore) -> PhrasedCorpus | None:
    store = idfiles.load(folder)
    if store is None:
        return None
    new = sum(token not in source.vocab.ids for token in store.vocab.tokens)
    return PhrasedCorpus(store.ids, store.offsets, store.vocab, store.report, store.sha256, new)


def _loaded(folder: Path, source: IdStore) -> PhrasedCorpus:
    corpus = _load(folder, source)
    if corpus is None:
        raise RnncliError(f"the token ids just written to {folder} cannot be read back; is the disk full?")
    return corpus


def _power_of_two(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << max(n - 1, 0).bit_length()
