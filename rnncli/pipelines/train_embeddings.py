"""Text -> word vectors in a run folder."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import __version__
from rnncli.artifacts.bundle import MODEL_NAME, ModelFile, save_model
from rnncli.artifacts.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from rnncli.artifacts.run_directory import InputFile, RunDirectory, describe_input
from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.config.load import config_to_yaml
from rnncli.data.idfiles import IdStore, release, scratch_folder
from rnncli.data.idstore import default_cache
from rnncli.data.paths import expand_paths
from rnncli.data.phrases import build_phrased_store
from rnncli.data.tokenise import Tokenizer
from rnncli.embeddings.algorithms import make_run, trained_model
from rnncli.embeddings.continuation import Continuation, continued
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.training import Lines, TrainState, train
from rnncli.events import CheckpointSaved, Event, Note, OnEvent, Progressed, ignore
from rnncli.kernels._jit import set_threads
from rnncli.pipelines.models import load_embeddings
from rnncli.pipelines.resume import check_identity, explained_interruption, run_identity
from rnncli.results import EmbeddingsResult


def run(
    config: EmbeddingsConfig,
    output: Path,
    *,
    force: bool = False,
    resume: bool = False,
    on_event: OnEvent = ignore,
) -> EmbeddingsResult:
    """Train word vectors as `config` says and write the run folder `output`.

    In deterministic mode the same config and seed give the same bytes in model.safetensors at any thread count, and
    after a kill and `resume`. Raises UsageError, CorpusError, ArtifactError, DivergedError.
    """
    threads = set_threads(config.threads)
    with (
        RunDirectory.create(output, force=force, resume=resume) as folder,
        explained_interruption(folder),
        scratch_folder() as scratch,
    ):
        c = config.corpus
        paths = expand_paths(c.paths)
        old = load_embeddings(config.init_from, on_event) if config.init_from is not None else None
        tokenizer = Tokenizer(c.tokenizer, c.lowercase)
        store = build_phrased_store(paths, tokenizer, c.phrases, c.min_count, c.max_vocab, default_cache(), on_event)
        _report_vocabulary(store, on_event)
        origin = None if old is None else continued(config, store.vocab, old)
        vocab = store.vocab if origin is None else origin.vocab
        identity = run_identity(config, [store.sha256, *([_model_sha256(old)] if old is not None else [])])
        start = _start(folder, resume, identity, len(vocab), origin, on_event)
        folder.keep_history(start.epoch)
        folder.write_text("config.yaml", config_to_yaml(config))

        def heard(event: Event) -> None:
            if isinstance(event, Progressed):  # what was read of the corpus must not stay in memory
                release(store.ids, store.offsets)
            on_event(event)

        def on_epoch(state: TrainState) -> None:
            line = {"epoch": state.epoch, "loss": state.losses[-1]}
            folder.append_history(line | ({"valid_loss": state.valid_losses[-1]} if state.valid_losses else {}))
            if state.epoch < config.epochs:
                meta = {"epoch": state.epoch, "losses": state.losses, "valid_losses": state.valid_losses}
                save_checkpoint(folder, dict(state.tensors), meta | {"seconds": state.seconds, "identity": identity})
                heard(CheckpointSaved(str(folder.path), state.epoch))

        training = make_run(config, Lines(store.ids, store.offsets), vocab, start.tensors, scratch, heard)
        start.tensors.clear()  # the run has them in its own layout
        state = train(training, config.epochs, start, heard, on_epoch)
        del training  # its copy of the vectors, before more are made
        model = trained_model(config, vocab, state.tensors)
        inputs = [describe_input(path) for path in paths]
        digest = _save_model(folder, config, model, inputs)
        result = EmbeddingsResult(
            run=str(folder.path),
            words=len(vocab),
            dim=config.dim,
            tokens=store.tokens,
            dropped_types=store.report.dropped_types,
            dropped_tokens=store.report.dropped_tokens,
            epochs=config.epochs,
            loss=state.losses[-1],
            train_seconds=round(state.seconds, 3),
            words_per_second=round(store.tokens * config.epochs / max(state.seconds, 1e-9), 1),
            vectors_sha256=_array_sha256(model.vectors_VE),
            model_sha256=digest,
            valid_loss=state.valid_losses[-1] if state.valid_losses else None,
            init_from=None if origin is None else origin.report(model.vectors_VE),
        )
        folder.write_json("metrics.json", asdict(result))
        folder.manifest(config.seed, threads, inputs)
        remove_checkpoint(folder)
        return result


def _report_vocabulary(store: IdStore, on_event: OnEvent) -> None:
    report = store.report
    on_event(
        Note(
            f"vocabulary {len(store.vocab):,} words, {store.tokens:,} tokens; dropped {report.dropped_types:,} rare"
            f" words ({report.dropped_tokens:,} tokens)"
        )
    )


def _start(
    folder: RunDirectory,
    resume: bool,
    identity: dict[str, Any],
    words: int,
    origin: Continuation | None,
    on_event: OnEvent,
) -> TrainState:
    """What training begins with: a checkpoint, older vectors, or nothing yet."""
    if resume and (stored := load_checkpoint(folder)) is not None:
        tensors, meta = stored
        check_identity(meta["identity"], identity)
        on_event(Note(f"resumed after epoch {meta['epoch']}"))
        return TrainState(meta["epoch"], tensors, meta["losses"], meta["valid_losses"], meta["seconds"])
    if origin is None:
        return TrainState(0, {})
    on_event(Note(f"{len(origin.rows):,} vectors are kept, {words - len(origin.rows):,} words added"))
    return TrainState(0, origin.tensors)


def _save_model(folder: RunDirectory, config: EmbeddingsConfig, model: EmbeddingModel, inputs: list[InputFile]) -> str:
    meta = {
        **model.to_meta(),
        "config": config.model_dump(mode="json", exclude={"threads", "memory_limit"}),
        "provenance": {"rnncli": __version__, "seed": config.seed, "inputs": [item.sha256 for item in inputs]},
    }
    return save_model(folder.path / MODEL_NAME, ModelFile("embeddings", model.to_tensors(), meta))


def _array_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _model_sha256(model: EmbeddingModel) -> str:
    """SHA-256 of vectors and words, whatever file they came from."""
    parts = [_array_sha256(model.vectors_VE), hashlib.sha256(json.dumps(model.vocab.tokens).encode()).hexdigest()]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
