"""What a network consists of, and what its recurrence costs beside self-attention.

    recurrence       2 gates H^2 FLOPs a step, for each layer and direction: L steps grow as L H^2
    self-attention   2 H for each score and 2 H for each weighted sum: 4 L^2 H FLOPs for one layer of the same width
(the inputs' own products, L H I, are alike in both and left out; Vaswani et al. 2017, table 1, has the orders).
"""

from rnncli.results import CostLine, ParameterRow
from rnncli.rnn.network import Network
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.stack import Stack

NOT_TRAINED = (
    "h_0 (and c_0), the state before the first token: zero",
    "the tokens that are read",
    "hidden size, layers, dropout, learning rate and the other keys of the config",
)


def parameter_table(network: Network, train_embedding: bool = True) -> list[ParameterRow]:
    """One row for each array of numbers, the tables first."""
    rows = [
        ParameterRow(f"{name}.weight", list(table.shape), table.size, train_embedding or name != "embedding")
        for name, table in network.tables.items()
    ]
    return rows + [ParameterRow(n, list(slot.shape), slot.size, True) for n, slot in network.dense.slots.items()]


def cost_line(spec: NetworkSpec, length: int) -> CostLine:
    """FLOPs of the recurrence and of one self-attention layer on a text of `length` tokens, and where they cross."""
    stack = Stack(spec.stack)
    per_step = 2 * stack.cell.gates * spec.hidden_size**2 * len(stack.places)
    return CostLine(length, per_step * length, 4 * length**2 * spec.hidden_size, per_step / (4 * spec.hidden_size))
