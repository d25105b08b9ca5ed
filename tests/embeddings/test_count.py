"""Co-occurrence counts: those of the definition, whatever the memory and the threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import glove as twin

from rnncli.embeddings import cooccurrence, count
from rnncli.embeddings.count import Counting, count_cooccurrences
from rnncli.events import Note, ignore


def corpus(lines=300, words=50, seed=0):
    random = np.random.default_rng(seed)
    offsets = np.append(0, np.cumsum(random.integers(0, 12, lines))).astype(np.int64)
    return (words * random.random(offsets[-1]) ** 2).astype(np.int32), offsets


def dense(matrix, words):
    """The matrix that lies in the tiles; every cell at most once, every tile where it belongs."""
    found = np.zeros((words, words))
    reader = matrix.reader()
    for r in range(len(matrix.row_bounds) - 1):
        for c in range(len(matrix.column_bounds) - 1):
            span = matrix.tile_starts[r, c : c + 2][None]
            reader.read(span)
            n = int(span[0, 1] - span[0, 0])
            i = matrix.row_bounds[r] + (reader.cells[:n] >> 16)
            j = matrix.column_bounds[c] + (reader.cells[:n] & 0xFFFF)
            assert (i < matrix.row_bounds[r + 1]).all()
            assert (j < matrix.column_bounds[c + 1]).all()
            assert not found[i, j].any()
            found[i, j] = reader.values[:n]
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    """Many tiles, batches and pieces from little text."""
    monkeypatch.setattr(cooccurrence, "ROWS_OF_BLOCK", 16)
    monkeypatch.setattr(cooccurrence, "CELLS_OF_BLOCK", 200)
    monkeypatch.setattr(count, "CELLS_OF_BATCH", 300)
    monkeypatch.setattr(count, "LEAST_TOKENS", 100)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("by_distance", [True, False])
@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_counts_are_those_of_the_definition(symmetric, by_distance, memory, small_blocks, tmp_path):
    ids, offsets = corpus()
    what = Counting(4, symmetric, by_distance, memory)
    matrix = count_cooccurrences(ids, offsets, 50, what, 1, tmp_path, ignore)
    expected = twin.count(ids, offsets, 50, 4, symmetric, by_distance)
    np.testing.assert_allclose(dense(matrix, 50), expected, rtol=1e-6)
    assert matrix.cells == np.count_nonzero(expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.u32", "values.f32"]


@settings(deadline=None, max_examples=30)
@given(
    lines=st.lists(st.lists(st.integers(0, 6), max_size=9), max_size=8),
    window=st.integers(1, 12),
    symmetric=st.booleans(),
)
def test_counts_of_any_lines(lines, window, symmetric, tmp_path_factory):
    ids = np.array([word for line in lines for word in line], np.int32)
    offsets = np.append(0, np.cumsum([len(line) for line in lines])).astype(np.int64)
    folder = tmp_path_factory.mktemp("tiles")
    matrix = count_cooccurrences(ids, offsets, 7, Counting(window, symmetric, True, 1), 1, folder, ignore)
    np.testing.assert_allclose(dense(matrix, 7), twin.count(ids, offsets, 7, window, symmetric, True), rtol=1e-6)


def test_memory_and_threads_do_not_show(small_blocks, tmp_path):
    ids, offsets = corpus(600)
    written, notes = set(), []
    for memory in (1, 6000, 1 << 20):
        for threads in (1, 2):
            folder = tmp_path / f"{memory}-{threads}"
            folder.mkdir()
            count_cooccurrences(ids, offsets, 50, Counting(5, True, True, memory, threads), 3, folder, notes.append)
            written.add((folder / "cells.u32").read_bytes() + (folder / "values.f32").read_bytes())
    assert len(written) == 1
    assert len([n for n in notes if isinstance(n, Note)]) == 4  # the four that did not fit in memory


def test_cells_of_a_tile_are_shuffled_by_the_seed(tmp_path):
    ids, offsets = corpus()
    orders = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        matrix = count_cooccurrences(ids, offsets, 50, Counting(4, True, True, 1 << 20), seed, folder, ignore)
        reader = matrix.reader()
        reader.read(np.array([[0, matrix.cells]]))
        orders.append(reader.cells.tolist()[: matrix.cells])
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    assert np.corrcoef(np.argsort(orders[0]), np.arange(len(orders[0])))[0, 1] < 0.1


def test_long_lines_and_rare_words_are_counted_whole(tmp_path):
    ids = np.arange(5000, dtype=np.int32)  # one line, every word once: few cells a row, many words
    matrix = count_cooccurrences(ids, np.array([0, 5000]), 5000, Counting(2, True, False, 1), 1, tmp_path, ignore)
    assert matrix.cells == 2 * (4999 + 4998)
    assert len(matrix.row_bounds) - 1 == 5
