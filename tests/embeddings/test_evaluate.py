"""Word pairs, bootstrap intervals and comparisons: against slow twins, gensim, and what must hold exactly."""

import math

import numpy as np
import pytest

from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.data.wordquestions import AnalogySection, WordPairs, read_analogies, read_word_pairs
from rnncli.embeddings import resampling
from rnncli.embeddings.compare import compare
from rnncli.embeddings.evaluate import analogy_answers, analogy_result, pair_cosines, similarity_result
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.resampling import Bootstrap, means_of, spearman, spearman_of
from rnncli.errors import CorpusError


def make(vectors):
    tokens = [f"w{i}" for i in range(len(vectors))]
    vocabulary = Vocabulary(tokens, np.arange(len(tokens), 0, -1), has_unknown=False)
    return EmbeddingModel(np.asarray(vectors, np.float32), vocabulary, Tokenizer("words"))


def naive_spearman(x, y):
    """Mean ranks by counting, then Pearson's formula."""

    def ranks(values):
        return [sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values]

    rx, ry = ranks(x), ranks(y)
    mx, my = sum(rx) / len(rx), sum(ry) / len(ry)
    top = sum((p - mx) * (q - my) for p, q in zip(rx, ry, strict=True))
    return top / math.sqrt(sum((p - mx) ** 2 for p in rx) * sum((q - my) ** 2 for q in ry))


def pairs_of(n, words, seed=0):
    rng = np.random.default_rng(seed)
    chosen = [tuple(f"w{i}" for i in rng.choice(words, 2, replace=False)) for _ in range(n)]
    return WordPairs("pairs", chosen, [float(score) for score in rng.integers(0, 8, n)])


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_spearman_is_that_of_the_naive_twin_with_ties(levels):
    rng = np.random.default_rng(levels)
    x, y = rng.integers(0, levels, (2, 40)).astype(float)
    assert spearman(x, y) == pytest.approx(naive_spearman(x, y), abs=1e-12)
    assert spearman(x, x) == pytest.approx(1.0)
    assert spearman(x, -x) == pytest.approx(-1.0)


def test_spearman_of_a_resample_is_that_of_the_repeated_items():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, (2, 25)).astype(float)
    counts = np.stack([np.bincount(rng.integers(0, 25, 25), minlength=25) for _ in range(5)]).astype(float)
    for row, value in zip(counts.astype(int), spearman_of(x, y)(counts)[:, 0], strict=True):
        assert value == pytest.approx(naive_spearman(np.repeat(x, row), np.repeat(y, row)), abs=1e-12)


def test_an_undefined_correlation_is_none():
    assert spearman(np.array([1.0]), np.array([2.0])) is None
    assert spearman(np.ones(4), np.arange(4.0)) is None
    assert spearman(np.zeros(0), np.zeros(0)) is None


def test_an_interval_is_named_by_its_seed_and_does_not_depend_on_blocks(monkeypatch):
    values = np.random.default_rng(2).normal(size=(50, 2))
    whole = Bootstrap(300, 7).interval(means_of(values), 50)
    monkeypatch.setattr(resampling, "COUNTS_AT_ONCE", 170)
    assert Bootstrap(300, 7).interval(means_of(values), 50) == whole
    assert Bootstrap(300, 8).interval(means_of(values), 50) != whole


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered = 0
    for i in range(300):
        sample = rng.normal(5.0, 2.0, (60, 1))
        ((low, high),) = Bootstrap(200, i).interval(means_of(sample), 60)
        covered += low <= 5.0 <= high
    assert 0.90 < covered / 300 < 0.98


def test_resamples_draw_every_item_alike():
    counts = np.concatenate([Bootstrap(2000, 1).values(lambda counts: counts, 20)])
    assert (counts.sum(axis=1) == 20).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.1)
    np.testing.assert_allclose(counts.var(axis=0), 0.95, atol=0.15)  # binomial: 20 draws, probability 1/20


def test_both_policies_for_words_without_a_vector():
    vectors = np.random.default_rng(4).normal(size=(12, 5))
    pairs = WordPairs("p", [("w1", "w2"), ("w3", "W4"), ("w5", "no"), ("w6", "w7"), ("nor", "no")], [1, 5, 4, 2, 3])
    answer = pair_cosines(make(vectors), pairs)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.array([unit[1] @ unit[2], unit[3] @ unit[4], 0, unit[6] @ unit[7], 0])
    np.testing.assert_allclose(answer.cosines, cosines, atol=1e-6)
    scores = np.array(pairs.scores)
    for policy in ("skip", "zero"):
        result = similarity_result(answer, policy, Bootstrap(50))
        assert result.oov == 2
        assert (result.skip.pairs, result.zero.pairs) == (3, 5)
        assert result.skip.spearman == pytest.approx(naive_spearman(cosines[[0, 1, 3]], scores[[0, 1, 3]]))
        assert result.zero.spearman == pytest.approx(naive_spearman(cosines, scores))
        chosen = getattr(result, policy)
        assert (result.spearman, result.interval, result.pairs) == (chosen.spearman, chosen.interval, chosen.pairs)


def test_both_policies_for_analogies_and_sections():
    # w4 = w1 - w0 + w2 and nothing else comes near.
    vectors = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 0.0]])
    right, wrong, unknown = ("w0", "w1", "w2", "w4"), ("w0", "w1", "w2", "w3"), ("w0", "no", "w2", "w4")
    parts = [AnalogySection("a", "f", [right, right, unknown]), AnalogySection("b", "f", [wrong, unknown])]
    parts.append(AnalogySection("empty", "f", []))
    result = analogy_result(analogy_answers(make(vectors), parts), "skip", Bootstrap(200))
    assert (result.accuracy, result.n, result.oov) == (2 / 3, 3, 2)
    assert (result.add.zero.accuracy, result.add.zero.n, result.mul.zero.correct) == (2 / 5, 5, 2)
    assert [(s.name, s.accuracy, s.n, s.oov) for s in result.sections] == [
        ("a", 1.0, 2, 1),
        ("b", 0.0, 1, 1),
        ("empty", None, 0, 0),
    ]
    assert result.sections[0].interval == [1.0, 1.0]
    assert result.add.zero.interval[0] < 0.4 < result.add.zero.interval[1]
    zero = analogy_result(analogy_answers(make(vectors), parts), "zero", Bootstrap(200))
    assert (zero.accuracy, zero.n, zero.add, zero.mul) == (2 / 5, 5, result.add, result.mul)


def test_a_model_compared_with_itself_differs_by_exactly_nothing():
    model = make(np.random.default_rng(5).normal(size=(30, 6)))
    pairs = pair_cosines(model, pairs_of(40, 33))
    parts = [AnalogySection("s", "f", [(f"w{i}", f"w{i + 1}", f"w{i + 2}", f"w{i + 3}") for i in range(29)])]
    answers = analogy_answers(model, parts)
    result = compare([(pairs, pairs)], (answers, answers), Bootstrap(100))
    for item in (*result.similarity, result.analogy.add, result.analogy.mul):
        for difference in (item.skip, item.zero):
            assert difference.first == difference.second
            assert difference.difference == 0.0
            assert difference.interval == [0.0, 0.0]
            assert (difference.first_better, difference.second_better) == (0.0, 0.0)


def test_a_comparison_is_paired():
    """Vectors that agree with the scores, and the same with noise: the difference is far surer than either number."""
    rng = np.random.default_rng(6)
    angles = np.linspace(0.0, 3.0, 120)
    vectors = np.concatenate([[[1.0, 0.0]], np.stack([np.cos(angles), np.sin(angles)], axis=1)])
    scores = -angles + rng.normal(0, 1.2, 120)
    pairs = WordPairs("p", [("w0", f"w{i + 1}") for i in range(120)], scores.tolist())
    good, bad = pair_cosines(make(vectors), pairs), pair_cosines(make(vectors + rng.normal(0, 0.25, (121, 2))), pairs)
    difference = compare([(good, bad)], None, Bootstrap(400)).similarity[0].skip
    single = similarity_result(good, "skip", Bootstrap(400))
    assert difference.difference == difference.first - difference.second
    assert difference.first == single.spearman
    assert difference.interval[1] - difference.interval[0] < 0.8 * (single.interval[1] - single.interval[0])
    assert difference.first_better + difference.second_better <= 1.0
    other = compare([(bad, good)], None, Bootstrap(400)).similarity[0].skip
    assert (other.first_better, other.second_better) == (difference.second_better, difference.first_better)
    np.testing.assert_allclose(other.interval, [-difference.interval[1], -difference.interval[0]], atol=1e-12)


def test_a_comparison_skips_what_either_model_lacks():
    vectors = np.random.default_rng(7).normal(size=(30, 6))
    pairs = pairs_of(60, 30)
    small, large = pair_cosines(make(vectors[:20]), pairs), pair_cosines(make(vectors), pairs)
    difference = compare([(large, small)], None, Bootstrap(50)).similarity[0]
    assert difference.skip.n == int(small.found.sum()) < 60
    assert difference.skip.difference == 0.0
    assert difference.zero.n == 60
    assert difference.zero.difference != 0.0


def test_without_resamples_there_are_no_intervals():
    model = make(np.random.default_rng(8).normal(size=(10, 4)))
    answer = pair_cosines(model, pairs_of(9, 10))
    assert similarity_result(answer, "skip", Bootstrap(0)).interval is None
    difference = compare([(answer, answer)], None, Bootstrap(0)).similarity[0].skip
    assert (difference.difference, difference.interval, difference.first_better) == (0.0, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "# about\nsun\tmoon\t7.5\n\nnew york\tcity\t 8 \n",
        "Word 1\tWord 2\tHuman (mean)\nsun\tmoon\t7.5\tmore\nnew york\tcity\t8\n",
        "word1,word2,score\r\nsun, moon, 7.5\r\nnew york,city,8\r\n",
        "\ufeff# a, b\nsun,moon,7.5\nnew york,city,8",
    ],
    ids=["tabs", "header and more columns", "commas", "no line end"],
)
def test_the_forms_of_a_word_pair_file(tmp_path, text):
    (tmp_path / "set.tsv").write_text(text, encoding="utf-8")
    read = read_word_pairs(tmp_path / "set.tsv")
    assert read == WordPairs("set", [("sun", "moon"), ("new york", "city")], [7.5, 8.0])


def test_word_pairs_between_blanks(tmp_path):
    (tmp_path / "set.txt").write_text("old  new 1.58\nsmart intelligent 9.2\n")
    assert read_word_pairs(tmp_path / "set.txt").pairs == [("old", "new"), ("smart", "intelligent")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a\tb\t1\na\tb\n", ["set.txt:2", "'a\\tb'"]),
        ("a\tb\t1\na\tb\tx\n", ["set.txt:2", "'x'"]),
        ("a\tb\tscore\na\tb\tnan\n", ["set.txt:2", "'nan'"]),
        ("a b\n", ["set.txt:1"]),
        ("a,,3\n", ["set.txt:1"]),
        ("# nothing\n", ["set.txt", "no word pair"]),
        ("", ["set.txt", "no word pair"]),
    ],
)
def test_bad_word_pair_files(tmp_path, text, parts):
    (tmp_path / "set.txt").write_text(text)
    with pytest.raises(CorpusError) as caught:
        read_word_pairs(tmp_path / "set.txt")
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("text", "part"),
    [(": s\na b c d\na b c\n", "q.txt:3"), ("a b c d e\n", "q.txt:1"), (": s\n", "no analogy"), ("", "no analogy")],
)
def test_bad_analogy_files(tmp_path, text, part):
    (tmp_path / "q.txt").write_text(text)
    with pytest.raises(CorpusError, match=part):
        read_analogies(tmp_path / "q.txt")


def test_gensim_has_the_same_word_pair_correlation(tmp_path):
    keyedvectors = pytest.importorskip("gensim.models.keyedvectors")
    pytest.importorskip("scipy")
    vectors = np.random.default_rng(9).normal(size=(60, 8)).astype(np.float32)
    pairs = pairs_of(200, 70)
    lines = [f"{a}\t{b}\t{score}" for (a, b), score in zip(pairs.pairs, pairs.scores, strict=True)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    peer = keyedvectors.KeyedVectors(8)
    peer.add_vectors([f"w{i}" for i in range(60)], vectors)
    answer = pair_cosines(make(vectors), read_word_pairs(tmp_path / "pairs.tsv"))
    result = similarity_result(answer, "skip", Bootstrap(0))
    for dummy, score in ((False, result.skip), (True, result.zero)):
        _, correlation, oov = peer.evaluate_word_pairs(
            str(tmp_path / "pairs.tsv"), case_insensitive=False, dummy4unknown=dummy
        )
        assert score.spearman == pytest.approx(correlation[0], abs=1e-9)
        assert oov == pytest.approx(100 * result.oov / 200)
