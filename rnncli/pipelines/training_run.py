"""What all commands that train a recurrent network share: the run folder, resume, epochs, the model and its scores."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from rnncli import __version__
from rnncli.artifacts.bundle import MODEL_NAME, ModelFile, save_model
from rnncli.artifacts.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from rnncli.artifacts.run_directory import InputFile, RunDirectory, describe_input
from rnncli.config.load import config_to_yaml
from rnncli.config.rnn import EmbeddingLayerConfig, TrainingConfig
from rnncli.data.vocab import Vocabulary
from rnncli.embeddings.model import EmbeddingModel
from rnncli.errors import DivergedError, UsageError
from rnncli.events import CheckpointSaved, EpochDone, Note, OnEvent
from rnncli.kernels._jit import set_threads
from rnncli.pipelines.models import load_embeddings
from rnncli.pipelines.resume import check_identity, explained_interruption, run_identity
from rnncli.results import Result, TrainResult
from rnncli.rnn.describe import cost_line, parameter_table
from rnncli.rnn.network import Network
from rnncli.rnn.optimiser import Optimiser
from rnncli.rnn.task import Task
from rnncli.rnn.train_state import TrainState
from rnncli.rnn.training import Watch, fit
from rnncli.rnn.warmup import prepare

# Short epochs are not worth a checkpoint each. Time decides when one is written, never what a resumed run ends with.
CHECKPOINT_SECONDS = 5.0


class StoredModel(Protocol):
    """A trained model: a dataclass of rnn/ with the form it is stored in."""

    kind: str

    def to_tensors(self) -> dict[str, NDArray[Any]]: ...
    def to_meta(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Prepared:
    """What a command has made of its config and data."""

    network: Network  # with its first weights
    task: Task
    model: Callable[[Network], StoredModel]
    measure: Callable[[Network], tuple[Result, Result | None]]  # validation and, where there is one, test data
    shown: Sequence[str]  # of history.jsonl, in EpochDone
    mean_length: float  # tokens of a row, for the cost line
    row: str = "text"
    labels: list[str] = field(default_factory=list)
    hit_rate: float | None = None


FilmMaker = Callable[[Prepared, RunDirectory], Watch]


def run_training(
    config: Any,
    inputs: Sequence[Path | None],
    prepare_run: Callable[[OnEvent], Prepared],
    output: Path,
    force: bool,
    resume: bool,
    on_event: OnEvent,
    film: FilmMaker | None = None,
) -> TrainResult:
    """Train and write the run folder `output`; `film` records how gradients travel, into inspection.jsonl.

    The same config and seed give the same bytes in model.safetensors at any thread count, and after a kill and
    `resume`. Raises UsageError, CorpusError, ArtifactError, DivergedError.
    """
    threads = set_threads(config.threads)
    with RunDirectory.create(output, force=force, resume=resume) as folder, explained_interruption(folder):
        described = [describe_input(path) for path in inputs if path is not None]
        ready = prepare_run(on_event)
        network, training = ready.network, config.training
        identity = run_identity(config, [item.sha256 for item in described])
        state = TrainState(network, Optimiser(training, network, config.embeddings.trainable))
        if resume and (stored := load_checkpoint(folder)) is not None:
            tensors, meta = stored
            check_identity(meta["identity"], identity)
            state.restore(tensors, meta)
            on_event(Note(f"resumed after epoch {state.epoch}"))
        folder.keep_history(state.epoch)
        on_event(Note(_description(network, config.embeddings.trainable, ready)))
        prepare(network.spec, training)
        folder.write_text("config.yaml", config_to_yaml(config))
        finish = _Finish(folder, config, ready, state, described, threads)
        saved = -math.inf
        folder.keep_film(state.epoch)
        watch = film(ready, folder) if film is not None else None
        try:
            for row in fit(state, ready.task, training, on_event, watch):
                folder.append_history(row)
                on_event(EpochDone(state.epoch, {name: row[name] for name in ready.shown}, bool(row["best"])))
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    save_checkpoint(folder, state.to_tensors(), {**state.to_meta(), "identity": identity})
                    on_event(CheckpointSaved(str(folder.path), state.epoch))
                    saved = time.monotonic()
        except DivergedError:
            if state.best_epoch > 0:
                finish.save()
            raise
        result = finish.save()
        remove_checkpoint(folder)
        return result


def _description(network: Network, trainable: bool, ready: Prepared) -> str:
    """The size of the network and the cost of one row of usual length, in a sentence."""
    rows = parameter_table(network, trainable)
    cost = cost_line(network.spec, max(1, round(ready.mean_length)))
    return (
        f"{sum(row.count for row in rows if row.trainable):,} trainable numbers; a {ready.row} of {cost.length} tokens, the"
        f" mean, costs {cost.recurrence_flops / 1e6:.3g} MFLOP in the recurrence (self-attention of the same width:"
        f" {cost.attention_flops / 1e6:.3g}; equal at {cost.crossing_length:.0f} tokens)"
    )


@dataclass(frozen=True)
class _Finish:
    """Writes what a run ends with."""

    folder: RunDirectory
    config: Any
    ready: Prepared
    state: TrainState
    inputs: list[InputFile]
    threads: int

    def save(self) -> TrainResult:
        """Write the best epoch's model (or the mean of the best ones), metrics.json and manifest.json."""
        state, config = self.state, self.config
        network = state.best_network()
        model = self.ready.model(network)
        meta = {
            **model.to_meta(),
            "config": config.model_dump(mode="json", exclude={"threads"}),
            "provenance": {"rnncli": __version__, "seed": config.seed, "inputs": [item.sha256 for item in self.inputs]},
        }
        digest = save_model(self.folder.path / MODEL_NAME, ModelFile(model.kind, model.to_tensors(), meta))
        valid, test = self.ready.measure(network)
        result = TrainResult(
            run=str(self.folder.path),
            best_epoch=state.best_epoch,
            epochs=state.epoch,
            valid=valid.to_json(),
            test=None if test is None else test.to_json(),
            train_seconds=round(state.seconds, 3),
            tokens_per_second=round(state.tokens / max(state.seconds, 1e-9), 1),
            model_sha256=digest,
            parameters=network.dense.flat.size + sum(table.size for table in network.tables.values()),
            labels=self.ready.labels,
            pretrained_hit_rate=self.ready.hit_rate,
        )
        self.folder.write_json("metrics.json", asdict(result))
        self.folder.manifest(config.seed, self.threads, self.inputs)
        return result


def load_pretrained(config: EmbeddingLayerConfig, on_event: OnEvent) -> EmbeddingModel | None:
    """The vectors that the embedding begins with; None when the config names none."""
    return load_embeddings(config.path, on_event) if config.path is not None else None


def copy_pretrained(
    network: Network, vocab: Vocabulary, pretrained: EmbeddingModel | None, on_event: OnEvent
) -> float | None:
    """Copy vectors into the embedding by word; the share of training tokens that have one."""
    if pretrained is None:
        return None
    rows, found = pretrained.rows_of(vocab.tokens)
    network.embedding_VE[found] = pretrained.vectors_VE[rows[found]]
    seen = vocab.counts > 0
    hit_rate = float(vocab.counts[found & seen].sum() / max(1, vocab.counts[seen].sum()))
    on_event(Note(f"{hit_rate:.1%} of the training tokens have a pretrained vector"))
    return hit_rate


def check_truncation(training: TrainingConfig, possible: bool, why: str) -> None:
    """UsageError for a stride that is longer than the window, or truncation where it has no meaning."""
    if training.bptt_steps is None and training.bptt_stride is None:
        return
    if not possible:
        raise UsageError(f"training.bptt_steps: {why}; leave it out")
    if training.bptt_steps is None or (training.bptt_stride or 1) > training.bptt_steps:
        raise UsageError("training.bptt_stride: must be no longer than training.bptt_steps")
