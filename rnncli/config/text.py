"""How text becomes tokens and tokens become a vocabulary; shared by every command that reads text."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from rnncli.config.base import StrictModel

TokenizerName = Literal["whitespace", "words", "chars", "bytes"]


class TokenizerConfig(StrictModel):
    """What a token is."""

    tokenizer: TokenizerName = Field(
        "words", title="whitespace (as split), words (letters and digits; punctuation apart), chars or bytes"
    )
    lowercase: bool = Field(True, title="Fold case before splitting")


class VocabularyConfig(TokenizerConfig):
    """What a token is, and which tokens are kept."""

    min_count: PositiveInt = Field(1, title="Tokens seen fewer times are unknown")
    max_vocab: PositiveInt | None = Field(None, title="Keep at most so many tokens, the most frequent; null keeps all")


class PhrasesConfig(StrictModel):
    """Which neighbouring words become one token (Mikolov et al. 2013, "Distributed representations", section 4)."""

    passes: NonNegativeInt = Field(
        0, title="Times that neighbours are joined: 0 none, 1 pairs, 2 up to four words, ..."
    )
    threshold: PositiveFloat = Field(
        100.0, title="Pairs a b are joined where (count(a b) - discount) * tokens / (count(a) * count(b)) is above this"
    )
    discount: NonNegativeFloat = Field(5.0, title="Taken off the count of a pair, so that rare pairs are not joined")
    halve_threshold: bool = Field(False, title="Halve the threshold in each pass after the first")
    separator: str = Field("_", pattern=r"^\S+$", title="Stands between the words of a phrase")
