"""A recurrent model -> an ONNX file, compared with the model before it is delivered."""

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import __version__, rng
from rnncli.artifacts.atomic import replacing, sha256_file
from rnncli.artifacts.onnx_graph import OPSET, NetworkArrays, build_model
from rnncli.errors import RnncliError, UsageError
from rnncli.pipelines.models import Recurrent, load_recurrent
from rnncli.results import ExportResult
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.predict import predict_logits
from rnncli.rnn.regression import Regressor
from rnncli.rnn.stored import network_tensors

LARGEST_DIFFERENCE = 1e-4  # of a logit, beyond which nothing is written
ROWS, STEPS = 5, 9  # of the batch that is compared


def run(model: Path, output: Path, force: bool = False) -> ExportResult:
    """Write the network of a model as ONNX; vocabulary, labels and tokenizer go into the file's properties as JSON.

    Where onnxruntime is installed, a random batch of several lengths is run through both, and a graph that differs is an
    error. Raises UsageError (no such model, the package onnx is missing, the output exists), ArtifactError, RnncliError.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UsageError("export needs the package onnx; install it with: pip install 'rnncli[onnx]'")
    loaded = load_recurrent(model)
    if output.exists() and not force:
        raise UsageError(f"{output}: exists already; --force overwrites it")
    if not output.parent.is_dir():
        raise UsageError(f"{output}: there is no folder {output.parent}")
    arrays = arrays_of(loaded)
    data: bytes = build_model(arrays).SerializeToString(deterministic=True)
    difference = None
    if importlib.util.find_spec("onnxruntime") is not None:
        difference = compare(loaded.network, data, arrays)
        if not difference <= LARGEST_DIFFERENCE:
            raise RnncliError(
                f"the ONNX graph differs from the model by {difference:.2g}; nothing was written, please report it"
            )
    with replacing(output) as temporary:
        temporary.write_bytes(data)
        digest = sha256_file(temporary)
    return ExportResult(str(model), str(output), OPSET, len(data), difference, digest)


def arrays_of(model: Recurrent) -> NetworkArrays:
    """What a model's graph is made of."""
    spec, tensors = asdict(model.network.spec), network_tensors(model.network)
    about: dict[str, str] = {"rnncli": __version__, "kind": model.kind}
    meta = model.to_meta()
    for key in ("labels", "tokenizer", "max_length", "separator", "channels", "targets", "window", "horizon"):
        if meta.get(key) is not None:
            about[key] = json.dumps(meta[key], ensure_ascii=False, sort_keys=True)
    if getattr(model, "vocab", None) is not None:
        about["vocabulary"] = json.dumps(model.vocab.tokens, ensure_ascii=False)  # type: ignore[union-attr]
    if not isinstance(model, Regressor):
        return NetworkArrays(spec, tensors, metadata=about)
    scale, own = model.target_scale, model.input_scale
    return NetworkArrays(
        spec, tensors, None if own is None else own.mean, None if own is None else own.scale,
        None if scale is None else scale.mean, None if scale is None else scale.scale, _relative_to(model), about,
    )  # fmt: skip


def _relative_to(model: Regressor) -> Any:
    """(O, 2) step of the window and channel that each number of a forecaster is relative to; None for none."""
    if model.anchor == "none":
        return None
    if model.anchor == "season" and model.season > model.window:
        raise UsageError(
            f"a season of {model.season} steps is longer than the window of {model.window}; it cannot be exported"
        )
    steps = np.full(model.horizon, model.window - 1)
    if model.anchor == "season":
        steps = model.window - model.season + np.arange(model.horizon) % model.season
    columns = [model.channels.index(name) for name in model.targets]
    return np.array([(step, column) for step in steps for column in columns])


def compare(network: Network, data: bytes, arrays: NetworkArrays) -> float:
    """The largest difference between the logits of the network and of onnxruntime on rows of several lengths."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    spec = network.spec
    window = STEPS if arrays.relative_to is None else int(arrays.relative_to[:, 0].max()) + 1
    lengths = np.arange(ROWS) * 2 + 1 if arrays.relative_to is None else np.full(ROWS, window)
    lengths = np.minimum(lengths, window)
    draws = rng.normals(rng.key(0, rng.Stream.CHECK), ROWS * window * max(1, spec.inputs, spec.features))
    feeds: dict[str, Any] = {"lengths": lengths.astype(np.int64)}
    values: Any = None
    features: Any = None
    ids: Any = None
    at = np.arange(ROWS)[:, None] * window + np.arange(window)
    inside = np.arange(window) < lengths[:, None]
    if spec.inputs:
        feeds["x"] = draws[: at.size * spec.inputs].reshape(ROWS, window, spec.inputs).astype(np.float32)
        values = _as_read(feeds["x"].astype(np.float64), arrays).reshape(-1, spec.inputs).astype(np.float32)
    else:
        feeds["token_ids"] = _whole(draws[: at.size], spec.vocabulary).reshape(ROWS, window)
        ids = feeds["token_ids"].reshape(-1).astype(np.int32)
    if spec.features:
        chosen = _whole(draws[: at.size * spec.features], spec.feature_rows)
        feeds["features"] = chosen.reshape(ROWS, window, spec.features)
        features = chosen.reshape(-1, spec.features).astype(np.int32)
    theirs = session.run(["logits"], feeds)[0]
    sequences = Sequences(at[:, 0].copy(), lengths.astype(np.int64), ids, features, values)
    if not spec.each:
        return float(np.abs(predict_logits(network, sequences) - theirs).max())
    batch = pack(sequences, np.arange(ROWS))
    mine = network.logits(network.forward(batch).read_MO, batch)
    return float(np.abs(mine - theirs[inside][np.argsort(np.argsort(batch.position_N))]).max())


def _whole(draws: NDArray[np.float64], bound: int) -> NDArray[np.int64]:
    """Numbers from 0 to bound - 1."""
    return (np.abs(draws) * 1e6).astype(np.int64) % bound


def _as_read(x_BTI: NDArray[np.float64], arrays: NetworkArrays) -> NDArray[np.float64]:
    """What the network makes of the numbers that the graph is given."""
    if arrays.input_mean is not None and arrays.input_scale is not None:
        x_BTI = (x_BTI - arrays.input_mean) / arrays.input_scale
    return x_BTI - x_BTI[:, -1:] if arrays.relative_to is not None else x_BTI
