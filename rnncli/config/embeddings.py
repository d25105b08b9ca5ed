"""The config of `rnncli train-embeddings`."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from rnncli.config.base import PathList, StrictModel
from rnncli.config.text import VocabularyConfig


class CorpusConfig(VocabularyConfig):
    """The text that vectors are trained on: one sentence (or paragraph) a line, plain or compressed."""

    paths: PathList = Field(title="Text files, one or a list; - is standard input", min_length=1)
    min_count: PositiveInt = Field(5, title="Words seen fewer times are dropped")


class EmbeddingsConfig(StrictModel):
    """Skip-gram or CBOW, negative sampling or hierarchical softmax (Mikolov et al. 2013, both papers)."""

    corpus: CorpusConfig = Field(title="The text and how it is cut into words")
    algorithm: Literal["skipgram", "cbow"] = Field(
        "skipgram", title="skipgram: each context by itself meets the centre word; cbow: the mean of the contexts does"
    )
    loss: Literal["ns", "hs"] = Field("ns", title="ns: negative sampling; hs: hierarchical softmax on a Huffman tree")
    dim: PositiveInt = Field(100, title="Length of a word vector, d")
    window: PositiveInt = Field(5, title="Largest distance between a word and its context, m; drawn from 1..m per word")
    negative: PositiveInt = Field(5, title="Noise words per positive pair, K")
    sample: NonNegativeFloat = Field(1e-3, title="Sub-sampling threshold of frequent words, 0 for none")
    epochs: PositiveInt = Field(5, title="Passes over the corpus")
    lr: PositiveFloat = Field(0.025, title="Initial learning rate, falls linearly to 1/10000 of it")
    mode: Literal["deterministic", "hogwild"] = Field(
        "deterministic",
        title="deterministic: the same bytes at any thread count; hogwild: lock-free, faster, not repeatable",
    )
    seed: NonNegativeInt = Field(1, title="Names every random draw of the run")
    threads: NonNegativeInt = Field(0, title="Threads, 0 for all cores; does not change the result")
