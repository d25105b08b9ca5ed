"""GloVe: the steps of its definition, the same bytes at any thread count, exact continuation, held-out cells."""

import numpy as np
import pytest
from reference import glove as twin

from rnncli.embeddings import cooccurrence
from rnncli.embeddings.count import Counting, count_cooccurrences
from rnncli.embeddings.train_glove import GloveOptions, GloveRun, initial_tensors
from rnncli.embeddings.training import TrainState, train
from rnncli.errors import DivergedError
from rnncli.events import Progressed, ignore

WORDS, GROUPS = 48, 6


def planted(lines=3000, seed=0):
    """Lines of words of one group each: words of a group share their contexts."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 10, lines)
    group = np.repeat(random.integers(0, GROUPS, lines), lengths)
    per_group = WORDS // GROUPS
    ids = (group * per_group + random.integers(0, per_group, len(group))).astype(np.int32)
    noise = random.random(len(ids)) < 0.1
    ids[noise] = random.integers(0, WORDS, noise.sum())
    return ids, np.append(0, np.cumsum(lengths)).astype(np.int64)


@pytest.fixture
def matrix(tmp_path, monkeypatch):
    monkeypatch.setattr(cooccurrence, "ROWS_OF_BLOCK", 10)
    return count_cooccurrences(*planted(), WORDS, Counting(5, True, True, 1 << 20), 1, tmp_path, ignore)


def test_one_tile_is_trained_as_the_definition_says(tmp_path):
    ids, offsets = planted(40)
    tile = count_cooccurrences(ids, offsets, WORDS, Counting(5, True, True, 1 << 20), 1, tmp_path, ignore)
    reader = tile.reader()
    reader.read(np.array([[0, tile.cells]]))
    cells = reader.cells[: tile.cells]
    order = list(zip((cells >> 16).tolist(), (cells & 0xFFFF).tolist(), reader.values.tolist(), strict=False))
    for dim in (7, 14, 30):
        start = initial_tensors(WORDS, dim, 3)
        options = GloveOptions(dim, rate=0.2, x_max=2.0, seed=3)
        run = GloveRun(tile, options, start)
        expected = {name: tensor.astype(np.float64) for name, tensor in start.items()}
        for epoch in range(3):
            loss = run.epoch(epoch, ignore)
            total = twin.train(expected, order, 0.2, 2.0, 0.75)
            assert loss == pytest.approx(total / tile.cells, rel=1e-4)
        for name, tensor in run.tensors().items():
            np.testing.assert_allclose(tensor, expected[name], rtol=1e-3, atol=2e-5, err_msg=name)


def test_words_of_a_group_become_neighbours_and_the_cost_falls(matrix):
    tensors = initial_tensors(WORDS, 12, 1)
    state = train(GloveRun(matrix, GloveOptions(12), tensors), 40, TrainState(0, tensors), ignore)
    final = {name: tensor.astype(np.float64) for name, tensor in state.tensors.items()}
    dense = twin.count(*planted(), WORDS, 5, True, True)
    w, v = final["words"], final["contexts"]
    after = twin.cost(w[:, :-1], w[:, -1], v[:, :-1], v[:, -1], dense, 100.0, 0.75) / matrix.cells
    assert after < 0.2 * state.losses[0]
    assert after == pytest.approx(state.losses[-1], rel=0.1)  # that of the last epoch is taken on its way
    vectors = w[:, :-1] + v[:, :-1]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = np.argsort(-(unit @ unit.T - 2 * np.eye(WORDS)), axis=1)[:, : WORDS // GROUPS - 1]
    same = near // (WORDS // GROUPS) == np.arange(WORDS)[:, None] // (WORDS // GROUPS)
    assert same.mean() > 0.9


def test_every_cell_is_visited_once_an_epoch(matrix):
    tensors = initial_tensors(WORDS, 5, 1)
    events = []
    loss = GloveRun(matrix, GloveOptions(5, rate=0.0), tensors).epoch(2, events.append)
    dense = twin.count(*planted(), WORDS, 5, True, True)
    w, v = tensors["words"].astype(np.float64), tensors["contexts"].astype(np.float64)
    expected = twin.cost(w[:, :-1], w[:, -1], v[:, :-1], v[:, -1], dense, 100.0, 0.75)
    assert loss == pytest.approx(expected / matrix.cells, rel=1e-5)
    assert [e.done for e in events if isinstance(e, Progressed)][-1] == 3 * matrix.cells


def test_a_rate_of_nothing_moves_nothing(matrix):
    tensors = initial_tensors(WORDS, 30, 1)
    run = GloveRun(matrix, GloveOptions(30, rate=0.0), tensors)
    run.epoch(0, ignore)
    for name, tensor in run.tensors().items():
        np.testing.assert_array_equal(tensor, tensors[name], err_msg=name)


def test_the_same_bytes_at_1_2_and_4_threads_and_after_any_epoch(matrix):
    tensors = initial_tensors(WORDS, 20, 1)
    ends, states = [], []
    for threads in (1, 2, 4):
        run = GloveRun(matrix, GloveOptions(20, threads=threads), tensors)
        run.bins, run.scratch = threads, np.zeros((threads, 2, 256), np.float32)  # whatever the cores of the machine
        ends.append(train(run, 4, TrainState(0, tensors), ignore, states.append))
    for start in states[:3]:
        ends.append(train(GloveRun(matrix, GloveOptions(20), start.tensors), 4, start, ignore))
    for end in ends[1:]:
        assert end.losses == ends[0].losses
        for name, tensor in end.tensors.items():
            np.testing.assert_array_equal(tensor, ends[0].tensors[name], err_msg=name)


def test_held_out_cells_are_not_trained_on(matrix):
    tensors = initial_tensors(WORDS, 10, 1)
    run = GloveRun(matrix, GloveOptions(10, valid_fraction=0.3), tensors)
    trained, held_out = 0, 0
    for r in range(len(matrix.row_bounds) - 1):
        c = np.arange(len(matrix.column_bounds) - 1)
        for valid in (False, True):
            spans = run._spans(np.full(len(c), r), c, valid)
            n = int((spans[:, 1] - spans[:, 0]).sum())
            trained, held_out = (trained, held_out + n) if valid else (trained + n, held_out)
    assert trained + held_out == matrix.cells
    assert 0.2 < held_out / matrix.cells <= 0.3
    before = run.valid_loss()
    state = train(run, 30, TrainState(0, tensors), ignore)
    assert state.valid_losses[-1] == run.valid_loss()
    assert state.losses[-1] < state.valid_losses[-1] < before
    assert GloveRun(matrix, GloveOptions(10), tensors).valid_loss() is None


def test_divergence_is_an_error(matrix):
    tensors = initial_tensors(WORDS, 10, 1)
    with pytest.raises(DivergedError):
        train(GloveRun(matrix, GloveOptions(10, rate=1e30), tensors), 3, TrainState(0, tensors), ignore)
