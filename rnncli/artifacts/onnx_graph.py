"""A recurrent network as an ONNX graph: standard operators only, any batch, any lengths.

Inputs   token_ids (batch, time) int64, or x (batch, time, channels) float32 where numbers are read; features (batch, time, K)
         int64 where tokens have some; lengths (batch,) int64. What lies beyond a row's length is not read.
Outputs  logits, and probabilities (binary: of both labels) or predictions; (batch, time, labels) where each token has a
         label.

ONNX orders gates otherwise than torch and this project: LSTM i, o, f, c; GRU z, r, h (operator set 17, RNN operators).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET, IR_VERSION = 17, 8
Array = NDArray[Any]
OPERATORS = {"rnn": "RNN", "relu": "RNN", "lstm": "LSTM", "gru": "GRU", "gru_before": "GRU"}
GATE_ORDER = {"RNN": (0,), "LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # of this project's gates


@dataclass(frozen=True)
class NetworkArrays:
    """What the graph is made of: the fields of a NetworkSpec and the network's numbers by their stored names."""

    spec: dict[str, Any]
    tensors: dict[str, Array]
    input_mean: Array | None = None  # (I,) taken off x, which is then divided by input_scale
    input_scale: Array | None = None
    output_mean: Array | None = None  # (O,) added to the outputs after they were multiplied by output_scale
    output_scale: Array | None = None
    relative_to: Array | None = None  # (O, 2) step and channel of the window that is added to each output
    metadata: dict[str, str] = field(default_factory=dict)


class _Graph:
    """Nodes and constants as they are added; every name is used once."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy = helper, numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Array) -> str:
        """An array of the model."""
        self.constants.append(self.numpy.from_array(np.array(values, order="C"), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.add_many(operator, inputs, [output], **attributes)[0]

    def add_many(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> list[str]:
        """A node with several outputs."""
        self.nodes.append(
            self.helper.make_node(operator, inputs, outputs, name=f"{operator}_{outputs[-1]}", **attributes)
        )
        return outputs


def build_model(arrays: NetworkArrays) -> Any:
    """The onnx.ModelProto of a network; equal networks give equal protos. Needs the package onnx."""
    from onnx import TensorProto, checker

    g, spec = _Graph(), arrays.spec
    helper = g.helper
    reads_numbers = bool(spec["inputs"])
    each = spec["pooling"] == "each"
    if reads_numbers:
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", spec["inputs"]])]
    else:
        inputs = [helper.make_tensor_value_info("token_ids", TensorProto.INT64, ["batch", "time"])]
    if spec["features"]:
        inputs.append(helper.make_tensor_value_info("features", TensorProto.INT64, ["batch", "time", spec["features"]]))
    inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]))
    x = _numbers(g, arrays) if reads_numbers else _look_up(g, arrays)
    states_TBO, last_BO = _layers(g, arrays, g.add("Transpose", [x], "x_TBI", perm=[1, 0, 2]))
    read = _read(g, arrays, states_TBO, last_BO)
    table = (
        "embedding.weight" if spec["tied"] else "output.weight" if "output.weight" in arrays.tensors else "head.weight"
    )
    weight = g.constant("head_weight_t", arrays.tensors[table].T)
    product = g.add("MatMul", [read, weight], "head_product")
    g.add("Add", [product, g.constant("head_bias", arrays.tensors["head.bias"])], "logits")
    last_name, width = _outputs(g, arrays)
    lead = ["batch", "time"] if each else ["batch"]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*lead, len(arrays.tensors["head.bias"])]),
        helper.make_tensor_value_info(last_name, TensorProto.FLOAT, [*lead, width]),
    ]
    graph = helper.make_graph(g.nodes, "rnncli", inputs, outputs, initializer=g.constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="rnncli"
    )
    helper.set_model_props(model, dict(sorted(arrays.metadata.items())))
    checker.check_model(model, full_check=True)
    return model


def _numbers(g: _Graph, arrays: NetworkArrays) -> str:
    x = "x"
    if arrays.input_mean is not None and arrays.input_scale is not None:
        x = g.add("Sub", [x, g.constant("input_mean", arrays.input_mean.astype(np.float32))], "x_centred")
        x = g.add("Div", [x, g.constant("input_scale", arrays.input_scale.astype(np.float32))], "x_scaled")
    if arrays.relative_to is not None:
        g.add("Identity", [x], "x_standard")
        last = g.add("Gather", [x, g.constant("last_step", np.array([-1], np.int64))], "x_last", axis=1)
        x = g.add("Sub", [x, last], "x_relative")
    return x


def _look_up(g: _Graph, arrays: NetworkArrays) -> str:
    spec = arrays.spec
    x = g.add(
        "Gather", [g.constant("embedding", arrays.tensors["embedding.weight"]), "token_ids"], "x_embedded", axis=0
    )
    if not spec["features"]:
        return x
    table = g.constant("feature_table", arrays.tensors["features.weight"])
    found = g.add("Gather", [table, "features"], "features_embedded", axis=0)
    width = spec["features"] * spec["feature_dim"]
    flat = g.add("Reshape", [found, g.constant("feature_shape", np.array([0, 0, width], np.int64))], "features_flat")
    return g.add("Concat", [x, flat], "x_joined", axis=2)


def _layers(g: _Graph, arrays: NetworkArrays, x_TBI: str) -> tuple[str, str]:
    """Names of all states (T, B, O) and of the last ones (B, O) of the last layer."""
    spec = arrays.spec
    operator, h_size = OPERATORS[spec["cell"]], spec["hidden_size"]
    suffixes = ["", "_reverse"] if spec["bidirectional"] else [""]
    lengths = g.add("Cast", ["lengths"], "lengths_int32", to=6)
    attributes: dict[str, Any] = {"hidden_size": h_size}
    attributes["direction"] = "bidirectional" if spec["bidirectional"] else "forward"
    if operator == "RNN":
        attributes["activations"] = ["Relu" if spec["cell"] == "relu" else "Tanh"] * len(suffixes)
    if operator == "GRU":
        attributes["linear_before_reset"] = int(spec["cell"] == "gru")
    flat = g.constant("flat_shape", np.array([0, 0, -1], np.int64))
    row_shape = g.constant("row_shape", np.array([0, -1], np.int64))
    h_last = ""
    for layer in range(spec["layers"]):
        parts = [[_ordered(arrays, f"{kind}_l{layer}{suffix}", operator) for suffix in suffixes]
                 for kind in ("weight_ih", "weight_hh")]  # fmt: skip
        biases = [
            np.concatenate([_ordered(arrays, f"{kind}_l{layer}{suffix}", operator) for kind in ("bias_ih", "bias_hh")])
            for suffix in suffixes
        ]
        names = [
            g.constant(f"{kind}_l{layer}", np.stack(values))
            for kind, values in (("W", parts[0]), ("R", parts[1]), ("B", biases))
        ]
        outputs = [f"y_l{layer}", f"y_h_l{layer}"] + ([f"y_c_l{layer}"] if operator == "LSTM" else [])
        y_TDBH, h_last = g.add_many(operator, [x_TBI, *names, lengths], outputs, **attributes)[:2]
        turned = g.add("Transpose", [y_TDBH], f"y_turned_l{layer}", perm=[0, 2, 1, 3])
        x_TBI = g.add("Reshape", [turned, flat], f"h_l{layer}")
    last = g.add("Transpose", [h_last], "h_last_turned", perm=[1, 0, 2])
    return x_TBI, g.add("Reshape", [last, row_shape], "h_last")


def _ordered(arrays: NetworkArrays, name: str, operator: str) -> Array:
    """A stored array with its gates in ONNX's order."""
    gates = np.split(arrays.tensors[f"rnn.{name}"], len(GATE_ORDER[operator]))
    return np.concatenate([gates[gate] for gate in GATE_ORDER[operator]])


def _read(g: _Graph, arrays: NetworkArrays, states_TBO: str, last_BO: str) -> str:
    """The name of what the head reads."""
    how = arrays.spec["pooling"]
    if how == "last":
        return last_BO
    h_BTO = g.add("Transpose", [states_TBO], "h_BTO", perm=[1, 0, 2])
    if how == "each":
        return h_BTO
    shape = g.add("Shape", [h_BTO], "h_shape")
    time = g.add("Gather", [shape, g.constant("axis_time", np.array(1, np.int64))], "time", axis=0)
    steps = g.add(
        "Range", [g.constant("zero", np.array(0, np.int64)), time, g.constant("one", np.array(1, np.int64))], "steps"
    )
    column = g.add("Unsqueeze", ["lengths", g.constant("axis_1", np.array([1], np.int64))], "lengths_column")
    inside = g.add("Less", [steps, column], "inside")
    inside_BT1 = g.add("Unsqueeze", [inside, g.constant("axis_2", np.array([2], np.int64))], "inside_BT1")
    nothing = g.constant("nothing", np.array(0, np.float32))
    least = g.constant("least", np.array(np.finfo(np.float32).min, np.float32))
    some = g.add("Greater", [column, "zero"], "some")
    if how == "max":
        kept = g.add("Where", [inside_BT1, h_BTO, least], "h_kept")
        best = g.add("ReduceMax", [kept], "h_max", axes=[1], keepdims=0)
        return g.add("Where", [some, best, nothing], "pooled")
    if how == "attention":
        query = g.constant("query", arrays.tensors["pooling.query"][:, None])
        scores = g.add("Where", [inside_BT1, g.add("MatMul", [h_BTO, query], "scores_all"), least], "scores")
        weights = g.add("Softmax", [scores], "weights", axis=1)
    else:
        count = g.add(
            "Max",
            [g.add("Cast", ["lengths_column"], "count_all", to=1), g.constant("single", np.array(1, np.float32))],
            "count",
        )
        count_B11 = g.add("Unsqueeze", [count, "axis_2"], "count_B11")
        weights = g.add("Div", [g.add("Cast", [inside_BT1], "inside_float", to=1), count_B11], "weights")
    weighed = g.add("Mul", [g.add("Where", [inside_BT1, h_BTO, nothing], "h_kept"), weights], "h_weighed")
    total = g.add("ReduceSum", [weighed, g.constant("sum_axis", np.array([1], np.int64))], "h_sum", keepdims=0)
    return g.add("Where", [some, total, nothing], "pooled")


def _outputs(g: _Graph, arrays: NetworkArrays) -> tuple[str, int]:
    """Name and width of the output beside the logits."""
    head, width = arrays.spec["head"], len(arrays.tensors["head.bias"])
    if head == "multiclass":
        g.add("Softmax", ["logits"], "probabilities", axis=-1)
    elif head == "multilabel":
        g.add("Sigmoid", ["logits"], "probabilities")
    elif head == "binary":
        yes, no = g.add("Sigmoid", ["logits"], "p_1"), g.add("Sigmoid", [g.add("Neg", ["logits"], "negated")], "p_0")
        g.add("Concat", [no, yes], "probabilities", axis=-1)
        return "probabilities", 2
    else:
        name = "logits"
        if arrays.relative_to is not None:
            picked = []
            for i, (step, channel) in enumerate(arrays.relative_to):
                at = g.add(
                    "Gather", ["x_standard", g.constant(f"step_{i}", np.array(step, np.int64))], f"at_{i}", axis=1
                )
                picked.append(
                    g.add(
                        "Gather", [at, g.constant(f"channel_{i}", np.array([channel], np.int64))], f"guess_{i}", axis=1
                    )
                )
            name = g.add("Add", [name, g.add("Concat", picked, "guess", axis=1)], "with_guess")
        if arrays.output_scale is not None and arrays.output_mean is not None:
            name = g.add(
                "Mul", [name, g.constant("output_scale", arrays.output_scale.astype(np.float32))], "wide_outputs"
            )
            name = g.add(
                "Add", [name, g.constant("output_mean", arrays.output_mean.astype(np.float32))], "shifted_outputs"
            )
        g.add("Identity", [name], "predictions")
        return "predictions", width
    return "probabilities", width
