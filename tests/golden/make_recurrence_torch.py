"""Values of PyTorch's recurrent layers, frozen: writes recurrence_torch.npz beside this file. DO NOT EDIT the result.

Written with PyTorch 2.13.0 (CPU, float64); PyTorch is no dependency of the project, the tests read the file only:

    python tests/golden/make_recurrence_torch.py

Each case holds the layer's ``parameters()`` one after the other in ``weights``, inputs, their lengths (shorter ones
were packed) and first states; then outputs, last states, and the gradients ``d_*`` of
``sum(cos(0, 1, 2, ...) * output) + sum(last states)``.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

BATCH, TIME, INPUTS, HIDDEN = 3, 5, 2, 3
CASES = {
    "rnn": (torch.nn.RNN, {}, False),
    "gru": (torch.nn.GRU, {}, False),
    "gru-bidirectional": (torch.nn.GRU, {"bidirectional": True}, False),
    "gru-packed": (torch.nn.GRU, {}, True),
    "gru-everything": (torch.nn.GRU, {"num_layers": 2, "bidirectional": True}, True),
    "lstm": (torch.nn.LSTM, {}, False),
    "lstm-projection": (torch.nn.LSTM, {"proj_size": 2}, False),
    "lstm-bidirectional": (torch.nn.LSTM, {"bidirectional": True}, False),
    "lstm-packed": (torch.nn.LSTM, {}, True),
    "lstm-everything": (torch.nn.LSTM, {"num_layers": 2, "bidirectional": True}, True),
}


def freeze(kind, options, packed):
    layer = kind(INPUTS, HIDDEN, batch_first=True, dtype=torch.float64, **options)
    depth = layer.num_layers * (1 + layer.bidirectional)
    xs = torch.randn(BATCH, TIME, INPUTS, dtype=torch.float64, requires_grad=True)
    sizes = [layer.proj_size or HIDDEN, HIDDEN][: 2 if kind is torch.nn.LSTM else 1]
    first = [torch.randn(depth, BATCH, size, dtype=torch.float64, requires_grad=True) for size in sizes]
    lengths = torch.tensor([TIME, 2, 4] if packed else [TIME] * BATCH)

    sequence = pack_padded_sequence(xs, lengths, batch_first=True, enforce_sorted=False) if packed else xs
    output, last = layer(sequence, tuple(first) if len(first) == 2 else first[0])
    output = pad_packed_sequence(output, batch_first=True)[0] if packed else output
    last = last if isinstance(last, tuple) else (last,)
    weight = torch.cos(torch.arange(output.numel(), dtype=torch.float64)).reshape(output.shape)
    ((weight * output).sum() + sum(s.sum() for s in last)).backward()

    arrays = {"xs": xs, "lengths": lengths, "output": output, "d_xs": xs.grad}
    for name, before, after in zip("hc", first, last, strict=False):
        arrays |= {f"{name}_0": before, f"{name}_n": after, f"d_{name}_0": before.grad}
    arrays["weights"] = parameters_to_vector(layer.parameters())
    arrays["d_weights"] = parameters_to_vector(parameter.grad for parameter in layer.parameters())
    return {name: array.detach().numpy() for name, array in arrays.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    frozen = {f"{case}/{name}": a for case, what in CASES.items() for name, a in freeze(*what).items()}
    np.savez_compressed(Path(__file__).with_name("recurrence_torch.npz"), **frozen)
