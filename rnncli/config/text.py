"""How text becomes tokens and tokens become a vocabulary; shared by every command that reads text."""

from typing import Literal

from pydantic import Field, PositiveInt

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
