"""Text -> word vectors in a run folder."""

import hashlib
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
from rnncli.data.idstore import build_id_store, default_cache
from rnncli.data.tokenise import Tokenizer
from rnncli.embeddings.model import EmbeddingModel
from rnncli.embeddings.train_word2vec import TrainState, train_skipgram
from rnncli.events import CheckpointSaved, Note, OnEvent, ignore
from rnncli.kernels._jit import set_threads
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
    with RunDirectory.create(output, force=force, resume=resume) as folder, explained_interruption(folder):
        c = config.corpus
        tokenizer = Tokenizer(c.tokenizer, c.lowercase)
        store = build_id_store(
            c.paths, tokenizer, c.min_count, c.max_vocab, unknown=False, cache=default_cache(), on_event=on_event
        )
        report = store.report
        on_event(
            Note(
                f"vocabulary {len(store.vocab):,} words, {store.tokens:,} tokens; dropped {report.dropped_types:,} rare"
                f" words ({report.dropped_tokens:,} tokens)"
            )
        )
        identity = run_identity(config, [store.sha256])
        start, seconds = None, 0.0
        if resume and (stored := load_checkpoint(folder)) is not None:
            tensors, meta = stored
            check_identity(meta["identity"], identity)
            start = TrainState(meta["epoch"], tensors["vectors"], tensors["outputs"], meta["losses"], meta["seconds"])
            on_event(Note(f"resumed after epoch {start.epoch}"))
        folder.keep_history(start.epoch if start else 0)
        folder.write_text("config.yaml", config_to_yaml(config))

        def on_epoch(state: TrainState) -> None:
            folder.append_history({"epoch": state.epoch, "loss": state.losses[-1]})
            tensors = {"vectors": state.vectors_VE, "outputs": state.outputs_VE}
            meta = {"epoch": state.epoch, "losses": state.losses, "seconds": state.seconds, "identity": identity}
            if state.epoch < config.epochs:
                save_checkpoint(folder, tensors, meta)
                on_event(CheckpointSaved(str(folder.path), state.epoch))

        state = train_skipgram(
            store.ids, store.offsets, store.vocab.counts, config, on_event, start=start, on_epoch=on_epoch
        )
        model = EmbeddingModel(state.vectors_VE, store.vocab, tokenizer, state.outputs_VE)
        seconds = state.seconds
        inputs = [describe_input(path) for path in c.paths]
        digest = _save_model(folder, config, model, inputs)
        result = EmbeddingsResult(
            run=str(folder.path),
            words=len(store.vocab),
            dim=config.dim,
            tokens=store.tokens,
            dropped_types=report.dropped_types,
            dropped_tokens=report.dropped_tokens,
            epochs=config.epochs,
            loss=state.losses[-1],
            train_seconds=round(seconds, 3),
            words_per_second=round(store.tokens * config.epochs / max(seconds, 1e-9), 1),
            vectors_sha256=_array_sha256(model.vectors_VE),
            model_sha256=digest,
        )
        folder.write_json("metrics.json", asdict(result))
        folder.manifest(config.seed, threads, inputs)
        remove_checkpoint(folder)
        return result


def _save_model(folder: RunDirectory, config: EmbeddingsConfig, model: EmbeddingModel, inputs: list[InputFile]) -> str:
    meta = {
        **model.to_meta(),
        "config": config.model_dump(mode="json", exclude={"threads"}),
        "provenance": {"rnncli": __version__, "seed": config.seed, "inputs": [item.sha256 for item in inputs]},
    }
    return save_model(folder.path / MODEL_NAME, ModelFile("embeddings", model.to_tensors(), meta))


def _array_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
