"""Running text -> a trained language model in a run folder."""

from pathlib import Path

from rnncli.config.sequences import LanguageModelConfig
from rnncli.data.running import build_running_vocabulary, encode_running, read_running, split_running
from rnncli.data.tokenise import Tokenizer
from rnncli.errors import CorpusError, UsageError
from rnncli.events import Note, OnEvent, ignore
from rnncli.pipelines.training_run import (
    FilmMaker,
    Prepared,
    check_truncation,
    copy_pretrained,
    load_pretrained,
    run_training,
)
from rnncli.results import LanguageResult, TrainResult
from rnncli.rnn.init import Start
from rnncli.rnn.language import LanguageModel, LanguageTask, evaluate_language
from rnncli.rnn.network import Network
from rnncli.rnn.spec import NetworkSpec

SHOWN = ("train_loss", "valid_loss", "valid_perplexity", "grad_norm_median")
FEWEST_TOKENS = 20


def run(
    config: LanguageModelConfig,
    output: Path,
    *,
    force: bool = False,
    resume: bool = False,
    on_event: OnEvent = ignore,
    film: FilmMaker | None = None,
) -> TrainResult:
    """Train a language model as `config` says and write the run folder `output`; see training_run.run_training."""
    check_truncation(config.training, True, "")
    if config.training.class_weights is not None:
        raise UsageError("training.class_weights: has no meaning for a language model; leave it out")
    if config.model.tie_weights and not config.embeddings.trainable:
        raise UsageError("model.tie_weights: the softmax cannot share an embedding that embeddings.trainable freezes")
    d = config.data
    return run_training(
        config,
        (d.train, d.valid, d.test),
        lambda told: prepare_run(config, told),
        output,
        force,
        resume,
        on_event,
        film,
    )


def prepare_run(config: LanguageModelConfig, on_event: OnEvent) -> Prepared:
    """Read the data and make the network with its first weights."""
    d = config.data
    pretrained = load_pretrained(config.embeddings, on_event)
    tokenizer = Tokenizer(d.tokenizer, d.lowercase)
    text = read_running(d.train, tokenizer)
    if len(text) < FEWEST_TOKENS:
        raise CorpusError(f"{d.train}: {len(text)} tokens are too few for a language model")
    vocab, report = build_running_vocabulary(text, d.min_count, d.max_vocab)
    if report.dropped_types:
        on_event(Note(f"vocabulary {len(vocab)} tokens; {report.dropped_types} rare ones are unknown"))
    train = encode_running(text, vocab)
    if d.valid is not None:
        valid = encode_running(read_running(d.valid, tokenizer), vocab)
    else:
        train, valid = split_running(train, d.valid_fraction)
        on_event(Note(f"held out the last {valid.ids.size:,} of {len(text):,} tokens for validation"))
    test = None if d.test is None else encode_running(read_running(d.test, tokenizer), vocab)
    dim = config.embeddings.dim if pretrained is None else pretrained.dim
    if config.model.tie_weights and dim != config.model.hidden_size:
        raise UsageError(
            f"model.tie_weights: embeddings are {dim} wide and states {config.model.hidden_size}; set both alike"
        )
    spec = NetworkSpec.of(
        config.model, len(vocab), dim, len(vocab), "multiclass", pooling="each", tied=config.model.tie_weights
    )
    network = Network(spec)
    network.initialise(Start.of(config.model), config.seed)
    hit_rate = copy_pretrained(network, vocab, pretrained, on_event)
    unit = token_unit(tokenizer)

    def measure(trained: Network) -> tuple[LanguageResult, LanguageResult | None]:
        tested = None if test is None else evaluate_language(trained, test, unit)
        return evaluate_language(trained, valid, unit), tested

    task = LanguageTask(train, valid, config.training, config.seed, unit)
    steps = float(config.training.bptt_steps)
    return Prepared(
        network, task, lambda trained: LanguageModel(trained, vocab, tokenizer), measure, SHOWN, steps, "window",
        hit_rate=hit_rate,
    )  # fmt: skip


def token_unit(tokenizer: Tokenizer) -> str:
    """What a token is."""
    return {"chars": "character", "bytes": "byte"}.get(tokenizer.name, "word")
