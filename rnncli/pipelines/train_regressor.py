"""Texts, series or a table of channels -> a trained regressor or forecaster in a run folder."""

from dataclasses import replace
from pathlib import Path

from rnncli.config.regression import RegressorConfig
from rnncli.data.features import check_features
from rnncli.errors import UsageError
from rnncli.events import OnEvent, ignore
from rnncli.pipelines.regression_inputs import INPUTS
from rnncli.pipelines.training_run import FilmMaker, Prepared, check_truncation, run_training
from rnncli.results import RegressionResult, TrainResult
from rnncli.rnn.network import Network
from rnncli.rnn.regression import NumberRows, RegressionTask, evaluate_regression

SHOWN = ("train_loss", "valid_loss", "valid_mae", "grad_norm_median")


def run(
    config: RegressorConfig,
    output: Path,
    *,
    force: bool = False,
    resume: bool = False,
    on_event: OnEvent = ignore,
    film: FilmMaker | None = None,
) -> TrainResult:
    """Train a regressor as `config` says and write the run folder `output`; see training_run.run_training."""
    d = config.data
    check_features(d.features)
    one_way = config.model.pooling == "last" and not config.model.bidirectional
    check_truncation(config.training, one_way, "a regressor can be cut only with pooling last and one direction")
    if config.training.class_weights is not None or config.training.label_smoothing > 0:
        raise UsageError("training.class_weights and label_smoothing have no meaning for numbers; leave them out")
    if config.model.head != "auto":
        raise UsageError("model.head: a regressor has one head; leave it out")
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


def prepare_run(config: RegressorConfig, on_event: OnEvent) -> Prepared:
    """Read the data and make the network with its first weights."""
    data = INPUTS[config.data.input](config, on_event)

    def measure(trained: Network) -> tuple[RegressionResult, RegressionResult | None]:
        def scores(rows: NumberRows, part: str) -> RegressionResult:
            return replace(evaluate_regression(trained, rows, data.scale), baselines=data.baselines(part))

        return scores(data.valid, "valid"), None if data.test is None else scores(data.test, "test")

    task = RegressionTask(data.train.sequences, data.train.targets, config.training, config.seed, valid=data.valid)
    mean_length = float(data.train.sequences.lengths.mean())
    row = "text" if config.data.input == "text" else "series"
    return Prepared(
        data.network, task, lambda trained: replace(data.regressor, network=trained), measure, SHOWN, mean_length, row,
        hit_rate=data.hit_rate,
    )  # fmt: skip
