"""The config of `rnncli train-embeddings`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rnncli.config.base import PathList, StrictModel
from rnncli.config.text import PhrasesConfig, VocabularyConfig


class CorpusConfig(VocabularyConfig):
    """The text that vectors are trained on: one sentence (or paragraph) a line, plain or compressed."""

    paths: PathList = Field(
        title="Text files, folders or patterns such as news/*.gz, one or a list; - is standard input", min_length=1
    )
    min_count: PositiveInt = Field(5, title="Words seen fewer times are dropped")
    phrases: PhrasesConfig = Field(PhrasesConfig(), title="Neighbouring words that become one token")


class SubwordsConfig(StrictModel):
    """Character n-grams that words share (Bojanowski et al. 2017): vectors for words never seen, too."""

    minn: NonNegativeInt = Field(0, title="Shortest n-gram, in characters; < and > mark the ends of a word")
    maxn: NonNegativeInt = Field(0, title="Longest n-gram; 0 for no sub-words, 6 is usual (with minn 3)")
    bucket: PositiveInt = Field(200_000, title="Rows that n-grams share by their hash")

    @model_validator(mode="after")
    def _ordered(self) -> "SubwordsConfig":
        if self.maxn and not 1 <= self.minn <= self.maxn:
            raise ValueError(f"minn is {self.minn} and maxn {self.maxn}; it must hold that 1 <= minn <= maxn")
        return self


class EmbeddingsConfig(StrictModel):
    """Skip-gram and CBOW (Mikolov et al. 2013, both papers) or GloVe (Pennington et al. 2014)."""

    corpus: CorpusConfig = Field(title="The text and how it is cut into words")
    algorithm: Literal["skipgram", "cbow", "glove"] = Field(
        "skipgram",
        title="skipgram: each context by itself meets the centre word; cbow: the mean of the contexts does;"
        " glove: least squares on co-occurrence counts",
    )
    loss: Literal["ns", "hs", "softmax"] = Field(
        "ns",
        title="ns: negative sampling; hs: hierarchical softmax on a Huffman tree; softmax: exact, for small vocabularies"
        " (not for glove)",
    )
    dim: PositiveInt = Field(100, title="Length of a word vector, d")
    window: PositiveInt = Field(
        5, title="Largest distance between a word and its context, m; skipgram and cbow draw it from 1..m per word"
    )
    negative: PositiveInt = Field(5, title="Noise words per positive pair, K", le=62)
    sample: NonNegativeFloat = Field(1e-3, title="Sub-sampling threshold of frequent words, 0 for none (not for glove)")
    subwords: SubwordsConfig = Field(SubwordsConfig(), title="Character n-grams (skipgram and cbow)")
    x_max: PositiveFloat = Field(100.0, title="glove: counts from here on weigh 1")
    alpha: PositiveFloat = Field(0.75, title="glove: smaller counts weigh (count / x_max)^alpha")
    symmetric: bool = Field(True, title="glove: count words to the right of a word as well as to the left")
    distance_weighting: bool = Field(True, title="glove: a pair d words apart counts 1 / d, else 1")
    memory_limit: PositiveInt = Field(
        256, title="glove: MiB that a piece of the corpus may take while it is counted; does not change the result"
    )
    output: Literal["words", "contexts", "sum"] | None = Field(
        None, title="Which vectors are the result; null: words for skipgram and cbow, sum for glove"
    )
    epochs: PositiveInt = Field(5, title="Passes over the corpus (glove: over its counts)")
    lr: PositiveFloat | None = Field(
        None,
        title="Learning rate; skipgram and cbow: at first, falls linearly to 1/10000 of it, null for 0.025;"
        " glove: of AdaGrad, null for 0.05",
    )
    valid_fraction: float = Field(
        0.0, title="Share of the corpus (its last lines; glove: of the counts) held out for valid_loss", ge=0.0, lt=1.0
    )
    init_from: Path | None = Field(None, title="Run, model or vector file whose vectors training begins with")
    mode: Literal["deterministic", "hogwild"] = Field(
        "deterministic",
        title="deterministic: the same bytes at any thread count; hogwild: lock-free, faster, not repeatable",
    )
    seed: NonNegativeInt = Field(1, title="Names every random draw of the run")
    threads: NonNegativeInt = Field(0, title="Threads, 0 for all cores; does not change the result")

    @property
    def rate(self) -> float:
        """The learning rate, chosen where `lr` is null."""
        if self.lr is not None:
            return self.lr
        return 0.05 if self.algorithm == "glove" else 0.025

    @property
    def result(self) -> str:
        """The `output`, chosen where it is null."""
        return self.output or ("sum" if self.algorithm == "glove" else "words")

    @model_validator(mode="after")
    def _possible(self) -> "EmbeddingsConfig":
        glove, exact = self.algorithm == "glove", self.loss == "softmax"
        if self.mode == "hogwild" and (glove or exact):
            raise ValueError(
                f"{'algorithm: glove' if glove else 'loss: softmax'} has no lock-free mode; leave mode out"
            )
        if glove and self.loss != "ns":
            raise ValueError("algorithm: glove has a loss of its own; leave loss out")
        if self.subwords.maxn and (glove or exact or self.loss == "hs"):
            raise ValueError("subwords go with algorithm skipgram or cbow and loss: ns")
        if self.subwords.maxn and self.output not in (None, "words"):
            raise ValueError("subwords make vectors of words; leave output out")
        return self
