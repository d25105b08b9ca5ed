"""Further ids of tokens: what the values are, how they are counted, stored and looked up."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.data.features import FeatureTables, check_features, columns_of, shape_of
from rnncli.errors import ArtifactError, ConfigError, CorpusError

NAMES = ("suffix3", "bigram", "shape", "column:1", "trigram", "lower", "prefix2")
WORDS = ["a", "An", "ant", "ants", "ANT", "<unk>", "1", "é", "\u0130st"]


def slow_values(name: str, row: list[str], column: list[str]) -> list[str]:
    if name == "column:1":
        return column
    if name in ("bigram", "trigram"):
        n = 2 if name == "bigram" else 3
        padded = [""] * (n - 1) + row
        return ["\n".join(padded[i : i + n]) for i in range(len(row))]
    if name == "shape":
        return [shape_of(word) for word in row]
    cut = {"suffix3": slice(-3, None), "lower": slice(None), "prefix2": slice(2)}[name]
    return [word.lower()[cut] for word in row]


def flat(rows: list[list[str]]) -> tuple[list[str], np.ndarray]:
    return [word for row in rows for word in row], np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)


@pytest.mark.parametrize(
    ("token", "shape"),
    [("McDonald's", "AaAa'a"), ("1,234", "0,0"), ("IBM", "A"), ("...", "."), ("U.S.", "A.A."), ("日本", "a"),
     ("e\u0301t\u00e9", "a"), ("a1b2c3d4e5", "a0a0a0a0"), ("", ""), ("\u01c5x", "Aa")],
)  # fmt: skip
def test_shapes(token, shape):
    assert shape_of(token) == shape


def test_a_worked_case():
    tokens, offsets = ["The", "Dogs", "the", "dogs"], np.array([0, 2, 2, 4])
    tables = FeatureTables.build(("suffix4", "bigram", "shape"), tokens, offsets, {}, 1, None)
    assert [v.tokens for v in tables.vocabularies] == [
        ["<unk>", "dogs", "the"],
        ["<unk>", "\nThe", "\nthe", "The\nDogs", "the\ndogs"],
        ["<unk>", "Aa", "a"],
    ]
    assert tables.bases.tolist() == [0, 3, 8]
    assert tables.rows == 11
    found = tables.encode(["Dogs", "the", "Frogs", "1"], np.array([0, 2, 4]), {})
    # "Dogs" opens a row here, which no bigram of the text did; "\nthe" did, but here "the" follows "Dogs".
    assert found.tolist() == [[1, 3, 9], [2, 3, 10], [0, 3, 9], [0, 3, 8]]
    assert found.dtype == np.int32
    assert found.flags.c_contiguous


ROWS = st.lists(st.lists(st.sampled_from(WORDS), max_size=6), max_size=5)


@settings(deadline=None)
@given(
    rows=ROWS,
    others=ROWS,
    min_count=st.integers(1, 3),
    max_vocab=st.one_of(st.none(), st.integers(1, 6)),
    names=st.lists(st.sampled_from(NAMES), unique=True),
)
def test_like_the_slow_twin(rows, others, min_count, max_vocab, names):
    def column(row: list[str]) -> list[str]:
        return [f"T{len(word)}" for word in row]

    tokens, offsets = flat(rows)
    built = FeatureTables.build(names, tokens, offsets, {"1": column(tokens)}, min_count, max_vocab)
    tables = FeatureTables.from_bytes(built.to_bytes())
    assert tables.to_bytes() == built.to_bytes()
    assert tables.names == tuple(names)
    for name, vocabulary in zip(names, tables.vocabularies, strict=True):
        counts = Counter(value for row in rows for value in slow_values(name, row, column(row)))
        literal = counts.pop("<unk>", 0)
        kept = sorted((v for v in counts if counts[v] >= min_count), key=lambda v: (-counts[v], v))[:max_vocab]
        assert vocabulary.tokens == ["<unk>", *kept]
        dropped = sum(counts.values()) - sum(counts[v] for v in kept)
        assert vocabulary.counts.tolist() == [dropped + literal, *(counts[v] for v in kept)]
    for text in (rows, others):
        tokens, offsets = flat(text)
        found_NK = tables.encode(pa.array(tokens, pa.string()), offsets, {"1": column(tokens)})
        assert found_NK.shape == (len(tokens), len(names))
        for k, (name, vocabulary) in enumerate(zip(names, tables.vocabularies, strict=True)):
            values = [value for row in text for value in slow_values(name, row, column(row))]
            known = {token: i for i, token in enumerate(vocabulary.tokens)}
            assert found_NK[:, k].tolist() == [tables.bases[k] + known.get(value, 0) for value in values]
            assert ((found_NK[:, k] < tables.rows) & (found_NK[:, k] >= tables.bases[k])).all()
        # A row alone gets the same ids as among others.
        for i, (a, b) in enumerate(pairwise(offsets)):
            alone = tables.encode(text[i], np.array([0, b - a]), {"1": column(text[i])})
            np.testing.assert_array_equal(alone, found_NK[a:b])


def test_without_features():
    tables = FeatureTables.from_bytes(FeatureTables.build((), ["a", "b"], np.array([0, 2]), {}, 1, None).to_bytes())
    assert (tables.rows, tables.bases.shape) == (0, (0,))
    assert tables.encode(["a"], np.array([0, 1]), {}).shape == (1, 0)


def test_a_long_token_is_no_matrix_of_long_tokens():
    tokens = ["x" * 3_000_000, *(f"w{i}" for i in range(3000))]
    tables = FeatureTables.build(("lower", "suffix2"), tokens, np.array([0, len(tokens)]), {}, 1, None)
    assert len(tables.vocabularies[0]) == 3002


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sufix3"], r"no feature 'sufix3'; known are prefix2, .*trigram, column:NAME; did you mean 'suffix3'\?"),
        (["column:"], "no feature 'column:'"),
        (["shape", "shape"], "'shape' is named twice"),
    ],
)
def test_unknown_features_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        check_features(names)
    with pytest.raises(ConfigError, match=message):
        FeatureTables.build(names, ["a"], np.array([0, 1]), {}, 1, None)


def test_a_column_must_be_there():
    offsets = np.array([0, 1])
    assert columns_of(["shape", "column:pos", "column:a:b"]) == ["pos", "a:b"]
    tables = FeatureTables.build(["column:pos"], ["a"], offsets, {"pos": ["NN"]}, 1, None)
    for act in (
        lambda: FeatureTables.build(["column:pos"], ["a"], offsets, {"2": ["NN"]}, 1, None),
        lambda: tables.encode(["a"], offsets, {"2": ["NN"]}),
    ):
        with pytest.raises(CorpusError, match=r"'column:pos' needs the column 'pos' .*given: '2'"):
            act()


SOUND = FeatureTables.build(["bigram", "shape"], ["a", "B"], np.array([0, 2]), {}, 1, None).to_bytes()


@pytest.mark.parametrize(
    "stored",
    [b"", b"[]", b"{}", b"\xff", SOUND[:-1], SOUND.replace(b'"shape"', b'"shap"'), SOUND.replace(b'"shape"', b"1"),
     SOUND.replace(b',"shape"', b""), SOUND.replace(b"a\\nB", b"aB"), SOUND.replace(b"true", b"false"),
     SOUND.replace(b'"bigram"', b'"trigram"'), SOUND.replace(b'"names"', b'"name"')],
)  # fmt: skip
def test_damaged_bytes_are_refused(stored):
    assert stored != SOUND
    with pytest.raises(ArtifactError, match="features are damaged"):
        FeatureTables.from_bytes(stored)


def test_another_version_is_refused():
    other = json.loads(SOUND) | {"version": "features-99"}
    with pytest.raises(ArtifactError, match="'features-99' are unknown to this release"):
        FeatureTables.from_bytes(json.dumps(other).encode())


def test_a_line_alone_and_a_long_text_give_the_same_ngrams():
    tokens, offsets = [f"w{i * i % 97}" for i in range(2000)], np.arange(0, 2001, 20)
    tables = FeatureTables.build(["bigram", "trigram"], tokens, offsets, {}, 2, None)
    tokens[::7] = ["new"] * len(tokens[::7])
    found_NK = tables.encode(tokens, offsets, {})
    assert (found_NK == tables.bases).any()
    assert (found_NK != tables.bases).any()
    for a, b in pairwise(offsets):
        np.testing.assert_array_equal(tables.encode(tokens[a:b], np.array([0, b - a]), {}), found_NK[a:b])
