"""The vectorised tokenizers against their slow twins; blocks against single texts."""

import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import tokens as reference

from rnncli.data.tokenise import Tokenizer
from rnncli.errors import ArtifactError

NAMES = ["whitespace", "words", "chars", "bytes"]
# Characters whose case differs between Unicode versions are left out: Arrow and Python may know different ones.
LIKELY = st.sampled_from(list("aZ_9'’ \t\u00a0\u3000.,-é́́İßΣς가힣漢\U0001f600½\u200d\u2028\x1c\x0b\r"))
TEXT = st.text(
    st.one_of(LIKELY, st.characters(codec="utf-8", exclude_characters="\n\0", exclude_categories=["Cn", "Lu"]))
)


def items(cut):
    flat = cut.tokens.to_pylist()
    return [flat[a:b] for a, b in zip(cut.offsets[:-1], cut.offsets[1:], strict=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lowercase", [True, False])
@settings(deadline=None)
@given(texts=st.lists(TEXT, max_size=6))
@example(texts=["don'", "t", "'", "", "a’b''c 'd' l’été’"])
@example(texts=["", " ", ""])
def test_split_equals_the_slow_twin(name, lowercase, texts):
    expected = [reference.tokens(name, lowercase, text) for text in texts]
    assert items(Tokenizer(name, lowercase).split(texts)) == expected


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=6), closed=st.booleans())
def test_a_block_of_lines_equals_its_lines(name, texts, closed):
    tokenizer = Tokenizer(name, True)
    block = "\n".join(texts) + ("\n" if closed else "")
    if not closed and not texts[-1]:
        texts = texts[:-1]  # an empty last line without a line end does not exist
    assert items(tokenizer.split_block(block.encode())) == items(tokenizer.split(texts))


def test_every_character_is_cut_as_the_twin_cuts_it():
    """All of the basic plane, and every 17th character of the others."""
    codes = [*range(1, 0xD800), *range(0xE000, 0x10000), *range(0x10000, sys.maxunicode + 1, 17)]
    chars = [chr(c) for c in codes if c != 10]
    for name in ("whitespace", "words"):
        around = [f"a{c}b" for c in chars]
        assert items(Tokenizer(name, False).split(around)) == [reference.tokens(name, False, t) for t in around]


def test_arrow_arrays_and_lists_agree():
    texts = ["One two", None, "drei"]
    sliced = pa.array(["x", *texts], type=pa.string())[1:]
    assert items(Tokenizer("words", True).split(sliced)) == [["one", "two"], [], ["drei"]]


def test_newline_inside_a_text_is_white_space_and_no_char():
    assert items(Tokenizer("words").split(["a\nb", "c"])) == [["a", "b"], ["c"]]
    assert items(Tokenizer("chars").split(["a\nb", "c"])) == [["a", "b"], ["c"]]


def test_nothing_gives_nothing():
    for name in NAMES:
        for cut in (Tokenizer(name).split([]), Tokenizer(name).split_block(b"")):
            assert len(cut.tokens) == 0
            assert cut.offsets.tolist() == [0]
            assert cut.offsets.dtype == np.int64


def test_json_form_round_trips_and_refuses_what_it_does_not_know():
    tokenizer = Tokenizer("words", False)
    assert tokenizer.version == "words-1"
    assert Tokenizer.from_json(tokenizer.to_json()) == tokenizer
    with pytest.raises(ArtifactError, match="words-99"):
        Tokenizer.from_json({**tokenizer.to_json(), "version": "words-99"})
