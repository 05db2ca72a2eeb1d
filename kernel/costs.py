"""What steps cost on this machine, learnt from the steps themselves."""

from __future__ import annotations

from dataclasses import dataclass

from .policy import Costs

MEMORY = 0.95
"""Weight of what was known against one more step: some twenty steps are remembered."""


@dataclass
class _Line:
    """A straight line through points by least squares, older ones counting less."""

    base: float
    each: float
    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        self.weight = MEMORY * self.weight + 1
        self.x, self.y = MEMORY * self.x + x, MEMORY * self.y + y
        self.xx, self.xy = MEMORY * self.xx + x * x, MEMORY * self.xy + x * y
        spread = self.weight * self.xx - self.x * self.x
        if spread > 1e-3 * self.weight * self.xx:
            each = (self.weight * self.xy - self.x * self.y) / spread
            self.each = min(max(each, 0.0), self.y / self.x)
            self.base = (self.y - self.each * self.x) / self.weight
        else:  # all of one size: the line goes through them, as steep as before
            mean, size = self.y / self.weight, self.x / self.weight
            self.each = min(self.each, mean / size)
            self.base = mean - self.each * size


class Meter:
    """Learns `Costs`. Owned by the event loop's thread."""

    def __init__(self) -> None:
        self.costs = costs = Costs()
        self._decode = _Line(costs.decode_base, costs.decode_each)
        self._prefill = costs.prefill_each

    def decoded(self, tokens: int, ms: float) -> None:
        """A decode step of so many tokens took so long."""
        self._decode.add(tokens, ms)
        self._renew()

    def prefilled(self, tokens: int, ms: float) -> None:
        """A prefill step. Small ones count less, since they tell less of a token's price."""
        weight = min(tokens / 512, 1.0) * (1 - MEMORY) * 4
        self._prefill += weight * (ms / tokens - self._prefill)
        self._renew()

    def _renew(self) -> None:
        self.costs = Costs(self._decode.base, self._decode.each, self._prefill)
