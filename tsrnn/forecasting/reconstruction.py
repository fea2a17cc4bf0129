"""An encoder and a decoder under the contract of predictors: what a row should be, given itself and those before it."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np

from tsrnn.forecasting.streams import LEAST_SCALE, AbstractOnlinePredictor, Learned, passed, spreads, trained, unscaled
from tsrnn.nn.cells import GRUCell, LSTMCell
from tsrnn.nn.online import first_weights
from tsrnn.nn.reconstruction import Reconstructing, WindowLoss

__all__ = ["EncoderDecoder"]


class EncoderDecoder(AbstractOnlinePredictor):
    """LSTM-ED: each row as a network reconstructs it from a state too small for the window that ends with it.

    The mean of a row depends on that row too, unlike a prediction: what `step` gives is what a scorer needs, and no
    forecast. The state is the window. See `tsrnn.nn.reconstruction` for how it differs from its sources.

    Parameters
    ----------
    cell : {"lstm", "gru"}, default "lstm"
        The cell of both.
    hidden_size : int, default 32
        Numbers in the state between them; for LSTM twice as many, with the memory.
    window : int, default 32
        Rows.
    max_steps : int, default 500
        Optimizer steps at the most.
    batch_size : int, default 64
        Windows per step.
    learning_rate : float, default 5e-3
        Peak learning rate.
    validation : float, default 0.2
        Share of the rows, the last ones, by which training is stopped.
    random_state : int, default 0
        Seed of weights and draws.

    References
    ----------
    P. Malhotra et al. (2016), LSTM-based encoder-decoder for multi-sensor anomaly detection, arXiv 1607.00148.

    Examples
    --------
    >>> from tsrnn.forecasting.predictor import Observed
    >>> x = np.sin(np.arange(300) / 3)[:, None]
    >>> rows = Observed(x, np.zeros((300, 0)), np.ones(300), np.ones(300, bool))
    >>> model = EncoderDecoder(hidden_size=4, window=8, max_steps=10).fit(rows)
    >>> state, expected = model.step(model.start(), rows)
    >>> expected.mean.shape, state["carry"].dtype
    ((300, 1), dtype('float32'))
    """

    def __init__(
        self,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden_size: int = 32,
        *,
        window: int = 32,
        max_steps: int = 500,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        validation: float = 0.2,
        random_state: int = 0,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.window = window
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation = validation
        self.random_state = random_state

    @property
    def _model(self) -> Reconstructing:
        if self.cell not in ("lstm", "gru") or self.hidden_size < 1 or self.window < 2:
            raise ValueError(f"cell is lstm or gru, hidden_size at least 1 and window at least 2, got {self!r}.")
        return Reconstructing(LSTMCell() if self.cell == "lstm" else GRUCell(), self.hidden_size, self.window)

    def _learn(self, learned: Sequence[Learned]) -> list[dict[str, Any]]:
        model = self._model
        net, key = first_weights(model, np.uint32(self.random_state), learned[0].x.shape[1], learned[0].n_sensors)
        room = 1 << (max(len(one.x) for one in learned) + self.window - 2).bit_length()
        nets = trained(
            WindowLoss(model), [net] * len(learned), [self._settings(one, room) for one in learned], key=key,
            max_steps=self.max_steps,
            batch_size=self.batch_size, learning_rate=self.learning_rate, validation=self.validation,
        )  # fmt: skip
        return [self._scale(model, net, one) for net, one in zip(nets, learned, strict=True)]

    def _settings(self, learned: Learned, room: int) -> dict[str, Any]:
        """Rows of a recording as the loss reads them, after as many missing ones as are before a stream."""
        rows = np.full((room, 1 + learned.x.shape[1]), np.nan, np.float32)
        rows[:, 0] = 1
        first, n = self.window - 1, len(learned.x)
        rows[first : first + n, 0], rows[first : first + n, 1:] = learned.elapsed, learned.x
        ends = np.array([first + n - int(self.validation * n), first + n], np.int32)
        settings: dict[str, Any] = jax.device_put({"rows": rows, "ends": ends})
        return settings

    @staticmethod
    def _scale(model: Reconstructing, net: Any, learned: Learned) -> dict[str, Any]:
        """The parameters with the scale of what is missed of learned rows."""
        params = unscaled({"net": net}, learned)
        mean, _, _ = passed(model, params, learned)
        scale = np.maximum(spreads(learned.sensors - mean), LEAST_SCALE).astype(np.float32)
        return params | {"scale": scale}
