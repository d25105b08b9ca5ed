"""Analogies by 3CosAdd and 3CosMul: equal to brute force and to gensim, the question's words left out."""

import numpy as np
import pytest

from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.data.wordquestions import read_analogies
from rnncli.embeddings.evaluate import analogy_answers
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.query import analogies, nearest
from rnncli.kernels._jit import set_threads

METHODS = ("add", "mul")


def make(vectors, lowercase=True):
    tokens = [f"w{i}" for i in range(len(vectors))]
    vocabulary = Vocabulary(tokens, np.arange(len(tokens), 0, -1), has_unknown=False)
    return EmbeddingModel(np.asarray(vectors, np.float32), vocabulary, Tokenizer("words", lowercase))


def twin(vectors, a, b, c, method):
    """Score of every word, written from the two papers."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if method == "add":
        target = unit[b] - unit[a] + unit[c]
        scores = unit @ target / np.linalg.norm(target)
    else:
        near_a, near_b, near_c = ((unit @ unit[i] + 1) / 2 for i in (a, b, c))
        scores = near_b * near_c / (near_a + 0.001)
    scores[[a, b, c]] = -np.inf
    return scores


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_those_of_brute_force(method):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(150, 19))
    triples = [tuple(int(i) for i in rng.choice(150, 3, replace=False)) for _ in range(30)]
    results = analogies(make(vectors), [tuple(f"w{i}" for i in triple) for triple in triples], 6, method)
    for triple, result in zip(triples, results, strict=True):
        scores = twin(vectors, *triple, method)
        order = np.argsort(-scores)[:6]
        assert [answer.word for answer in result.answers] == [f"w{i}" for i in order]
        np.testing.assert_allclose([answer.score for answer in result.answers], scores[order], rtol=2e-5, atol=1e-6)
        assert result.found
        assert result.method == method


@pytest.mark.parametrize("method", METHODS)
def test_a_small_vocabulary_gives_what_is_left(method):
    (result,) = analogies(make(np.eye(5) + 0.1), [("w0", "w1", "w2")], 10, method)
    assert [answer.word for answer in result.answers] == ["w3", "w4"]
    (result,) = analogies(make(np.eye(5) + 0.1), [("w0", "w0", "w2")], 10, method)
    assert sorted(answer.word for answer in result.answers) == ["w1", "w3", "w4"]


def test_missing_words_are_named_and_the_others_answered():
    model = make(np.random.default_rng(1).normal(size=(9, 4)))
    questions = [("w1", "no", "w2"), ("W1", "w3", "w2"), ("no", "nor", "no"), ("w1", "w3", "w2")]
    results = analogies(model, questions, 2)
    assert [r.found for r in results] == [False, True, False, True]
    assert [r.missing for r in results] == [["no"], [], ["no", "nor"], []]
    assert results[1].answers == results[3].answers
    assert results[0].answers == []
    assert [tuple(r.question) for r in results] == questions
    assert not analogies(make(np.eye(3), lowercase=False), [("W1", "w2", "w0")])[0].found


@pytest.mark.parametrize("method", METHODS)
def test_the_same_answers_in_any_company_and_at_any_thread_count(method):
    model = make(np.random.default_rng(2).normal(size=(9000, 12)))
    questions = [(f"w{i}", f"w{i + 1}", f"w{i + 5}") for i in range(20)]
    together = analogies(model, questions, 5, method)
    words = nearest(model, ["w1", "w2", "w3", "w4", "w5"], 5)
    try:
        set_threads(1)
        assert analogies(model, questions, 5, method) == together
        assert [analogies(model, [question], 5, method)[0] for question in questions] == together
        assert nearest(model, ["w1", "w2", "w3", "w4", "w5"], 5) == words
    finally:
        set_threads(0)


def sections(tmp_path, vectors, n, odd=()):
    """A file of two sections; a fourth word is near b - a + c, so that a good share can be answered."""
    rng = np.random.default_rng(5)
    lines = [": first"]
    for i in range(n):
        if i == n // 2:
            lines.append(": second part")
        a, b, c = rng.choice(len(vectors), 3, replace=False)
        d = np.argsort(-twin(vectors, a, b, c, "add"))[rng.integers(0, 2)]
        lines.append(" ".join(f"w{j}" for j in (a, b, c, d)))
    path = tmp_path / "questions.txt"
    path.write_text("\n".join([*lines, *odd]) + "\n")
    return path


def test_accuracy_equals_that_of_brute_force(tmp_path):
    vectors = np.random.default_rng(3).normal(size=(80, 7))
    path = sections(tmp_path, vectors, 60, odd=["w1 w2 w3 nope", "nope w1 w2 w3"])
    parts = read_analogies(path)
    answers = analogy_answers(make(vectors), parts)
    questions = [question for part in parts for question in part.questions]
    assert [part.name for part in parts] == ["first", "second part"]
    assert answers.found.tolist() == [True] * 60 + [False] * 2
    assert not answers.correct_NM[60:].any()
    for m, method in enumerate(METHODS):
        for question, correct in zip(questions[:60], answers.correct_NM[:60, m], strict=True):
            a, b, c, d = (int(word[1:]) for word in question)
            assert correct == (np.argmax(twin(vectors, a, b, c, method)) == d)
    assert 0.3 < answers.correct_NM[:60, 0].mean() < 0.7


def test_restricting_leaves_out_rarer_words_as_answers_and_in_questions(tmp_path):
    vectors = np.random.default_rng(4).normal(size=(80, 7))
    parts = read_analogies(sections(tmp_path, vectors, 60))
    few = analogy_answers(make(vectors).most_frequent(50), parts)
    cut = analogy_answers(make(vectors[:50]), parts)
    np.testing.assert_array_equal(few.correct_NM, cut.correct_NM)
    np.testing.assert_array_equal(few.found, cut.found)
    assert 0 < few.found.sum() < 60
    assert make(vectors).most_frequent(0).dim == 7


def test_gensim_has_the_same_analogy_accuracy(tmp_path):
    keyedvectors = pytest.importorskip("gensim.models.keyedvectors")
    vectors = np.random.default_rng(6).normal(size=(300, 20))
    path = sections(tmp_path, vectors, 200, odd=["w1 w2 w3 nope"])
    peer = keyedvectors.KeyedVectors(20)
    peer.add_vectors([f"w{i}" for i in range(300)], vectors.astype(np.float32))
    for restrict in (300, 180):
        score, by_section = peer.evaluate_word_analogies(str(path), restrict_vocab=restrict, case_insensitive=False)
        answers = analogy_answers(make(vectors).most_frequent(restrict), read_analogies(path))
        assert answers.correct_NM[answers.found, 0].mean() == score
        first = by_section[0]
        asked = len(first["correct"]) + len(first["incorrect"])
        assert answers.found[:100].sum() == asked
        assert answers.correct_NM[:100, 0].sum() == len(first["correct"])
