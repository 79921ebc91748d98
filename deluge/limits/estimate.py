"""How many tokens a prompt will take: a guess that learns from the provider's own counts."""

from __future__ import annotations

import math

from deluge.prompt.size import FIRST_RATIO, OVERHEAD

FEW_ANSWERS = 4  # below this many answers an output counts as long as it may be
MEMORY = 0.98  # what an answer still weighs when the next one comes: about the last fifty count
LOWER_BOUND_RATIO = 0.125  # no tokenizer needs fewer tokens per character of ordinary text
RENEW_EVERY = 8  # answers after which the estimate follows, once there are many
MANY = 512  # answers after which not every one is taken in
SMOOTHNESS = 0.1  # sizes that differ by less than this share say nothing about the slope


def _margin(variance: float, weight: float) -> float:
    """Half a deviation once much is known, more while little is."""
    return math.sqrt(max(0.0, variance)) * (0.5 + 1.5 / math.sqrt(max(1.0, weight)))


class _Line:
    """Tokens of an input as a line over its size: what is in every prompt, and what grows with it."""

    __slots__ = ("answers", "weight", "size", "tokens", "of_size", "of_both", "of_rest")

    def __init__(self) -> None:
        self.answers = 0
        self.weight = self.size = self.tokens = 0.0  # decaying means
        self.of_size = self.of_both = self.of_rest = 0.0  # their variances, and that of what the line misses

    def add(self, size: float, tokens: float) -> None:
        missed = tokens - self.at(size) if self.answers else 0.0
        self.answers += 1
        self.weight = self.weight * MEMORY + 1.0
        share = 1.0 / self.weight
        by_size, by_tokens = size - self.size, tokens - self.tokens
        self.size += by_size * share
        self.tokens += by_tokens * share
        self.of_size += (by_size * (size - self.size) - self.of_size) * share
        self.of_both += (by_size * (tokens - self.tokens) - self.of_both) * share
        self.of_rest += (missed * missed - self.of_rest) * share

    @property
    def slope(self) -> float:
        """Tokens per byte; proportional to the size as long as all sizes are alike."""
        alike = (SMOOTHNESS * self.size) ** 2
        return max(0.0, (self.of_both + alike * self.tokens / self.size) / (self.of_size + alike))

    def at(self, size: float) -> float:
        return max(0.0, self.tokens + self.slope * (size - self.size))


class _Output:
    """A decaying mean of output tokens, its variance, and the share of answers that were cut at their limit."""

    __slots__ = ("answers", "weight", "mean", "variance", "cut")

    def __init__(self) -> None:
        self.answers = 0
        self.weight = self.mean = self.variance = self.cut = 0.0

    def add(self, tokens: float, cut: bool) -> None:
        self.answers += 1
        self.weight = self.weight * MEMORY + 1.0
        before = tokens - self.mean
        self.mean += before / self.weight
        self.variance += (before * (tokens - self.mean) - self.variance) / self.weight
        self.cut += (cut - self.cut) / self.weight


class TokenEstimator:
    """One model's guess of input plus output tokens. The same answers in the same order give the same guesses.

    It starts with a quarter of a token per byte and the longest output allowed, and comes down to what the model really
    counts and writes. Answers that were cut at their limit push the guess back up towards that limit.
    """

    __slots__ = ("_input", "_output", "_learned", "_fixed", "_slope", "_expected", "_cut", "_seen")

    def __init__(self) -> None:
        self._input = _Line()
        self._output = _Output()
        self._seen = 0
        self._learned = 0  # answers since the numbers below were made
        self._fixed = self._slope = self._expected = self._cut = 0.0

    def __repr__(self) -> str:
        output = self._output
        return f"<TokenEstimator {output.answers} answers, {output.mean:.0f} tokens each, {output.cut:.0%} cut>"

    def estimate(self, input_size: int, max_new_tokens: int) -> int:
        """Tokens to reserve for an input of that many bytes; never more than ``max_new_tokens`` of output."""
        return max(1, self.input(input_size) + self.output(max_new_tokens))

    def input(self, input_size: int) -> int:
        """The input's part of the estimate."""
        answers = self._input.answers
        if not answers:
            return math.ceil(input_size * FIRST_RATIO) + OVERHEAD
        learned = self._fixed + self._slope * input_size
        if answers < FEW_ANSWERS:
            learned = max(learned, input_size * FIRST_RATIO + OVERHEAD)
        return math.ceil(learned) if learned > 0.0 else 0

    def output(self, max_new_tokens: int) -> int:
        """The output's part of the estimate."""
        most = max_new_tokens if max_new_tokens > 0 else 0
        if self._output.answers < FEW_ANSWERS:
            return most
        expected = self._expected
        if expected >= most:
            return most
        return min(most, math.ceil(expected + self._cut * (most - expected)))

    @property
    def answers(self) -> int:
        """How many answers it has learned from."""
        return self._output.answers

    @property
    def knows_output(self) -> bool:
        """Whether it can say how long answers are."""
        return self._output.answers >= FEW_ANSWERS

    def expected_input(self, input_size: int) -> float:
        """Tokens of an input of that many bytes, without a margin."""
        return self._input.at(input_size) if self._input.answers else input_size * FIRST_RATIO + OVERHEAD

    def expected_output(self, max_new_tokens: int) -> tuple[float, float] | None:
        """Tokens of an answer: at the low end of what the mean may be, and expected; None while too few have come."""
        output = self._output
        if not self.knows_output:
            return None
        error = 2.0 * math.sqrt(max(0.0, output.variance) / max(1.0, output.weight))
        return min(float(max_new_tokens), max(1.0, output.mean - error)), min(float(max_new_tokens), output.mean)

    def learn(self, input_size: int, input_tokens: int, output_tokens: int, max_new_tokens: int) -> None:
        """Takes in one answer's usage; ``input_tokens`` with the cached ones. Counts of zero teach nothing.

        Once there are many answers, every fourth is enough.
        """
        self._seen += 1
        if self._seen > MANY and self._seen & 3:
            return
        if input_tokens > 0 and input_size > 0:
            self._input.add(input_size, input_tokens)
        if output_tokens > 0:
            self._output.add(output_tokens, 0 < max_new_tokens <= output_tokens)
        self._learned += 1
        if self._learned < RENEW_EVERY and self._output.answers > RENEW_EVERY * RENEW_EVERY:
            return  # with many answers behind it, one more changes little
        self._renew()

    def _renew(self) -> None:
        """Makes the four numbers of which estimates are made, so that an estimate itself is cheap."""
        line, output = self._input, self._output
        self._slope = line.slope if line.answers else 0.0
        margin = _margin(line.of_rest, line.weight)
        self._fixed = line.tokens - self._slope * line.size + margin
        self._expected = output.mean + _margin(output.variance, output.weight)
        self._cut = output.cut
        self._learned = 0

    def lower_bound(self, input_size: int) -> int:
        """Tokens that a text of that size must have at the very least: what exceeds a limit even so can never fit."""
        return int(input_size * LOWER_BOUND_RATIO)
