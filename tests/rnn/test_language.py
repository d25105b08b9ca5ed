"""Language models: every token foretold once, perplexity by its definition, sampling, exact resume of an epoch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import rnn as reference

from rnncli.config.sequences import LanguageTrainingConfig
from rnncli.data.running import (
    END_OF_LINE,
    RunningIds,
    build_running_vocabulary,
    encode_running,
    read_running,
    split_running,
)
from rnncli.data.tokenise import Tokenizer
from rnncli.errors import CorpusError
from rnncli.rnn.generation import Sampling, Writer, choose, encode_prompt, generate
from rnncli.rnn.language import LanguageModel, LanguageTask, evaluate_language, shifted, streams
from rnncli.rnn.network import Network
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.train_state import TrainState
from rnncli.rnn.training import fit

TEXT = "the cat sat .\nthe dog sat .\n\nthe cat ran\n"


@pytest.fixture
def text(tmp_path):
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "t.txt"


def make_model(text, tokenizer="whitespace", cell="lstm", tied=False, dtype=np.float64, size=4):
    how = Tokenizer(tokenizer, lowercase=False)
    running = read_running(text, how)
    vocab, _ = build_running_vocabulary(running, 1, None)
    spec = NetworkSpec(cell, "multiclass", len(vocab), size, size, len(vocab), pooling="each", tied=tied, layers=2)
    network = Network(spec, dtype)
    network.initialise("uniform", 2)
    network.embedding_VE *= 5
    return LanguageModel(network, vocab, how), encode_running(running, vocab)


def test_running_text_has_the_ends_of_lines(text):
    model, ids = make_model(text)
    words = [model.vocab.tokens[i] for i in ids.ids]
    assert words == ["the", "cat", "sat", ".", "\n", "the", "dog", "sat", ".", "\n", "\n", "the", "cat", "ran", "\n"]
    assert ids.characters == len(TEXT)
    assert ids.unknown_share == 0.0
    assert model.vocab.counts[model.end_of_line] == 4
    np.testing.assert_array_equal(shifted(ids), np.append(model.end_of_line, ids.ids[:-1]))


def test_characters_of_running_text(text):
    model, ids = make_model(text, "chars")
    assert "".join(model.vocab.tokens[i] for i in ids.ids) == TEXT
    assert ids.characters == ids.ids.size
    train, valid = split_running(ids, 0.25)
    assert (train.ids.size, valid.ids.size) == (ids.ids.size - round(0.25 * ids.ids.size), round(0.25 * ids.ids.size))
    assert train.characters + valid.characters == ids.characters


def test_rare_tokens_are_unknown_and_counted(text):
    running = read_running(text, Tokenizer("whitespace", lowercase=False))
    vocab, report = build_running_vocabulary(running, 2, 3)
    assert vocab.tokens[0] == "<unk>"
    assert END_OF_LINE in vocab.ids
    assert len(vocab) == 4  # <unk>, two words, the end of a line
    assert report.dropped_types == 4
    assert encode_running(running, vocab).unknown_share == pytest.approx(6 / 15)


def test_an_empty_text_is_refused(tmp_path):
    (tmp_path / "e.txt").write_text("")
    with pytest.raises(CorpusError, match=r"e\.txt: the file is empty"):
        read_running(tmp_path / "e.txt", Tokenizer("chars"))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_perplexity_is_that_of_the_twin(text, cell, tied):
    model, data = make_model(text, cell=cell, tied=tied)
    network = model.network
    d = {name: network.dense[name] for name in network.dense}
    w = network.embedding_VE if tied else d["head.weight"]
    h = reference.stack_forward(cell, network.embedding_VE[shifted(data)], d, 2, False)
    losses = [reference.loss(w @ h[t] + d["head.bias"], y, "multiclass") for t, y in enumerate(data.ids)]
    result = evaluate_language(network, data, "word", pieces=1)
    assert result.tokens == data.ids.size
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert result.perplexity == pytest.approx(np.exp(np.mean(losses)), rel=1e-12)
    assert result.bits_per_character == pytest.approx(np.sum(losses) / math.log(2) / len(TEXT), rel=1e-12)


def test_pieces_share_the_text():
    for n, count in ((10, 3), (3, 3), (17, 4)):
        starts, lengths = streams(n, count)
        np.testing.assert_array_equal(np.append(starts[1:], n), starts + lengths)
        assert lengths.max() - lengths.min() <= 1


def train_state(model, config):
    return TrainState(model.network, Optimiser(config, model.network, True))


def repeated(data, times=40):
    return RunningIds(np.tile(data.ids, times), data.end_of_line, 0)


@pytest.mark.parametrize("stride", [None, 3])
def test_a_model_learns_a_text_by_heart_and_an_epoch_foretells_every_token_once(text, stride):
    model, data = make_model(text, dtype=np.float32, size=16)
    config = LanguageTrainingConfig(
        epochs=20, batch_size=4, bptt_steps=7, bptt_stride=stride, lr=0.01, schedule="cosine", patience=0
    )
    long = repeated(data)
    task = LanguageTask(long, data, config, 1, "word")
    count, steps = task.steps(model.network, 1)
    made = list(steps)
    assert len(made) == count
    assert sum(step.tokens for step in made) == long.ids.size == task.total
    rows = list(fit(train_state(model, config), task, config, lambda event: None))
    assert rows[-1]["valid_perplexity"] < 2.5 < 4.0 < rows[0]["valid_perplexity"]


def test_training_goes_on_exactly_from_a_checkpoint(text):
    config = LanguageTrainingConfig(epochs=4, batch_size=4, bptt_steps=7, lr=0.01, average_best=2, patience=0)

    def begin():
        model, data = make_model(text, tied=True, dtype=np.float32)
        return train_state(model, config), LanguageTask(repeated(data), data, config, 1, "word")

    whole, task = begin()
    stored = []
    for _ in fit(whole, task, config, lambda event: None):
        stored.append(
            ({k: v.copy() for k, v in whole.to_tensors().items()}, whole.to_meta() | {"history": list(whole.history)})
        )
    again, task = begin()
    again.restore(*stored[1])
    assert list(fit(again, task, config, lambda event: None)) == whole.history[2:]
    for name, values in whole.to_tensors().items():
        np.testing.assert_array_equal(again.to_tensors()[name], values)
    best, same = whole.best_network(), again.best_network()
    np.testing.assert_array_equal(best.embedding_VE, same.embedding_VE)
    kept = sorted(whole.kept, key=lambda k: k.rank, reverse=True)
    mean = (kept[0].arrays["dense"].astype(np.float64) + kept[1].arrays["dense"]) / 2
    np.testing.assert_array_equal(best.dense.flat, mean.astype(np.float32))


LOGITS = st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=12)


@given(LOGITS, st.floats(0.1, 3.0), st.floats(0.0, 1.0, exclude_max=True))
@settings(max_examples=200, deadline=None)
def test_sampling_inverts_the_distribution(logits, temperature, draw):
    """The chosen token is the one whose share of the tokens in order of probability the draw falls into."""
    z = np.array(logits) / temperature
    order = sorted(range(len(z)), key=lambda i: (-logits[i], i))
    p = np.exp(z - z.max())[order]
    bounds = np.cumsum(p / p.sum())
    if np.abs(bounds - draw).min() < 1e-9:
        return
    expected = order[min(int(np.sum(bounds < draw)), len(order) - 1)]
    assert choose(np.array(logits), Sampling(temperature, unknown=True), draw) == expected


def test_top_k_top_p_and_temperature_zero():
    logits = np.log(np.array([0.4, 0.1, 0.3, 0.2]))
    draws = np.linspace(0, 0.999, 50)
    assert {choose(logits, Sampling(top_k=2, unknown=True), d) for d in draws} == {0, 2}
    assert {choose(logits, Sampling(top_p=0.65, unknown=True), d) for d in draws} == {0, 2}
    assert {choose(logits, Sampling(top_p=0.75, unknown=True), d) for d in draws} == {0, 2, 3}
    assert {choose(logits, Sampling(top_p=0.0, unknown=True), d) for d in draws} == {0}
    assert {choose(logits, Sampling(temperature=0.0, unknown=True), d) for d in draws} == {0}
    assert {choose(logits, Sampling(temperature=0.0), d) for d in draws} == {2}  # 0 is the unknown token
    assert {choose(logits, Sampling(), d) for d in draws} == {1, 2, 3}
    shares = np.bincount([choose(logits, Sampling(unknown=True), d) for d in np.linspace(0, 1, 20000, endpoint=False)])
    np.testing.assert_allclose(shares / 20000, np.exp(logits), atol=1e-3)


@pytest.mark.parametrize("tokenizer", ["whitespace", "chars", "bytes"])
def test_generation_goes_on_from_the_state_after_the_prompt(text, tokenizer):
    model, _ = make_model(text, tokenizer)
    how = Sampling(temperature=0.8, seed=4)
    tokens = list(generate(model, "the cat", 12, how))
    assert tokens == list(generate(model, "the cat", 12, how))
    assert tokens != list(generate(model, "the cat", 12, Sampling(temperature=0.8, seed=5)))
    words = [model.vocab.tokens[t] for t in tokens]
    if tokenizer == "chars":  # the same tokens one by one: the state must be that after the longer prompt
        greedy = Sampling(temperature=0.0)
        some = list(generate(model, "the cat", 6, greedy))
        begun = "the cat" + "".join(model.vocab.tokens[t] for t in some[:3])
        assert list(generate(model, begun, 3, greedy)) == some[3:]
    writer = Writer(model, at_line_start=False)
    written = "".join(writer.text_of(t) for t in tokens)
    if tokenizer == "whitespace":
        assert written.split() == [w for w in words if w != END_OF_LINE]
        assert written.count("\n") == words.count(END_OF_LINE)
    assert encode_prompt(model, "the\ncat").tolist().count(model.end_of_line) == 1
