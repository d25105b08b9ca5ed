"""Nearest words: equal to brute force, ties by id, the same in any company."""

import numpy as np
import pytest

from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import nearest
from rnncli.errors import ArtifactError


def make(vectors):
    tokens = [f"w{i}" for i in range(len(vectors))]
    vocabulary = Vocabulary(tokens, np.arange(len(tokens), 0, -1), has_unknown=False)
    return EmbeddingModel(np.asarray(vectors, np.float32), vocabulary, Tokenizer("words"))


def test_neighbours_are_those_of_brute_force():
    vectors = np.random.default_rng(0).normal(size=(200, 17))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for i, result in enumerate(nearest(make(vectors), [f"w{i}" for i in range(200)], 7)):
        cosine = unit @ unit[i]
        cosine[i] = -2.0
        order = np.argsort(-cosine)[:7]
        assert [n.word for n in result.neighbors] == [f"w{j}" for j in order]
        np.testing.assert_allclose([n.similarity for n in result.neighbors], cosine[order], atol=1e-6)


def test_equal_similarities_come_by_id_and_never_the_word_itself():
    model = make([[1, 0], [0, 1], [2, 0], [0, 0], [3, 0], [-1, 0]])
    (result,) = nearest(model, ["w2"], 10)
    assert [n.word for n in result.neighbors] == ["w0", "w4", "w1", "w3", "w5"]
    assert [n.similarity for n in result.neighbors] == [1.0, 1.0, 0.0, 0.0, -1.0]


def test_a_word_has_the_same_neighbours_in_any_company():
    model = make(np.random.default_rng(1).normal(size=(100, 9)))
    together = nearest(model, [f"w{i}" for i in range(0, 100, 3)], 5)
    assert together == [nearest(model, [r.query], 5)[0] for r in together]


def test_unknown_words_and_folded_case():
    model = make(np.eye(3))
    results = nearest(model, ["nope", "W1", "w1 w2", "", "w1"], 2)
    assert [r.found for r in results] == [False, True, False, False, True]
    assert results[1].neighbors == results[4].neighbors
    assert [r.query for r in results] == ["nope", "W1", "w1 w2", "", "w1"]
    assert nearest(model, [], 3) == []


def test_a_model_survives_its_own_tensors():
    model = make(np.random.default_rng(2).normal(size=(4, 3)))
    again = EmbeddingModel.from_stored(model.to_tensors(), model.to_meta())
    np.testing.assert_array_equal(again.vectors_VE, model.vectors_VE)
    assert again.vocab.tokens == model.vocab.tokens
    assert again.tokenizer == model.tokenizer
    with pytest.raises(ArtifactError):
        EmbeddingModel.from_stored(model.to_tensors() | {"vectors": model.vectors_VE[:2]}, model.to_meta())
