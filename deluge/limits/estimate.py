"""How many tokens a prompt will take: a guess that learns from the provider's own counts."""

from __future__ import annotations

import math

FIRST_RATIO = 0.25  # tokens per UTF-8 byte of text, before the first answer
OVERHEAD = 8  # tokens around a prompt that no character pays for: roles, separators
FEW_ANSWERS = 4  # below this many answers an output counts as long as it may be
MEMORY = 0.98  # what an answer still weighs when the next one comes: about the last fifty count
LOWER_BOUND_RATIO = 0.125  # no tokenizer needs fewer tokens per character of ordinary text


class _Spread:
    """A decaying mean and the deviation around it."""

    __slots__ = ("weight", "mean", "variance")

    def __init__(self) -> None:
        self.weight = self.mean = self.variance = 0.0

    def add(self, value: float) -> None:
        self.weight = self.weight * MEMORY + 1.0
        step = (value - self.mean) / self.weight
        self.variance += ((value - self.mean - step) * (value - self.mean) - self.variance) / self.weight
        self.mean += step

    @property
    def deviation(self) -> float:
        return math.sqrt(max(0.0, self.variance))

    @property
    def margin(self) -> float:
        """Half a deviation once much is known, more while little is."""
        return self.deviation * (0.5 + 1.5 / math.sqrt(max(1.0, self.weight)))


class TokenEstimator:
    """One model's guess of input plus output tokens. The same answers in the same order give the same guesses.

    It starts with a quarter of a token per byte and the longest output allowed, and comes down to what the model really
    counts and writes. Answers that were cut at their limit push the guess back up towards that limit.
    """

    __slots__ = ("_input", "_output", "_cut")

    def __init__(self) -> None:
        self._input = _Spread()  # tokens per byte, without the overhead
        self._output = _Spread()
        self._cut = _Spread()  # 1 for an answer cut at its limit, else 0

    def __repr__(self) -> str:
        return (f"<TokenEstimator {self._ratio():.3f} tokens per byte, {self._output.mean:.0f} per answer, "
                f"{self._output.weight:.0f} answers>")

    def estimate(self, input_size: int, max_new_tokens: int) -> int:
        """Tokens to reserve for an input of that many bytes; never more than ``max_new_tokens`` of output."""
        return max(1, math.ceil(input_size * self._ratio()) + OVERHEAD + self.output(max_new_tokens))

    def output(self, max_new_tokens: int) -> int:
        """The output's part of the estimate."""
        most = max(0, max_new_tokens)
        if self._output.weight < FEW_ANSWERS * MEMORY ** FEW_ANSWERS:
            return most
        expected = min(self._output.mean + self._output.margin, most)
        return min(most, math.ceil(expected + self._cut.mean * (most - expected)))

    def learn(self, input_size: int, input_tokens: int, output_tokens: int, max_new_tokens: int) -> None:
        """Takes in one answer's usage; ``input_tokens`` with the cached ones. Counts of zero teach nothing."""
        if input_tokens > 0 and input_size > 0:
            self._input.add(max(0.0, input_tokens - OVERHEAD) / input_size)
        if output_tokens > 0:
            self._output.add(output_tokens)
            self._cut.add(1.0 if 0 < max_new_tokens <= output_tokens else 0.0)

    def lower_bound(self, input_size: int) -> int:
        """Tokens that the text must have at the very least: only what exceeds a limit even so is rejected."""
        return int(input_size * LOWER_BOUND_RATIO)

    def _ratio(self) -> float:
        if self._input.weight < FEW_ANSWERS * MEMORY ** FEW_ANSWERS:
            return FIRST_RATIO if not self._input.weight else max(FIRST_RATIO, self._input.mean)
        return self._input.mean + self._input.margin
