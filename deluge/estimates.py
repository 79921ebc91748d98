"""What a list of prompts will take: tokens, dollars and time, before anything is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from deluge._plugins import room
from deluge.duration import Deck, Duration, mixed
from deluge.errors import ConfigError
from deluge.experience import Taken
from deluge.lanes import Lane
from deluge.limits import TokenEstimator
from deluge.status import LimitingFactor
from deluge.usage import Usage

if TYPE_CHECKING:
    from deluge.plan import Plan
    from deluge.request import RequestTemplate
    from deluge.scheduler import Scheduler
    from deluge.tasks import Task

FIRST_LATENCY, PER_TOKEN = 0.5, 0.02  # seconds of an answer, and for each token of it, before the first was measured
FEW_ANSWERS = 4  # attempts below which nobody can say how long they take
TOKENS_PER_WORD = 4 / 3
SHARE_OF_MOST, USUAL = 0.5, 300  # of max_new_tokens, but no more tokens than this: an answer nothing is known of
EFFORTS = {"none": 0, "minimal": 100, "low": 500, "medium": 2_000, "high": 8_000, "xhigh": 16_000, "max": 32_000}
_WORDS = re.compile(r"\b(\d[\d,]{0,6}) words\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a list of prompts will take, as far as can be told before it is sent.

    ``prompts`` of which ``sampled`` were looked at; ``input_tokens``; ``output_tokens`` expected, ``most_output_tokens`` if
    every answer is as long as it may be. Dollars: ``cost`` expected, ``cost_low`` with short answers, ``cost_high`` with
    the longest ones; None where no price is known, and without the prompts that are ``unpriced``. ``seconds`` under the
    limits in force, from ``seconds_low`` to ``seconds_high`` in nine of ten runs; ``limited_by`` is the limit that binds,
    None where there is none. ``learned``: from answers of the models, not by rule of thumb. ``models``: prompts by model.
    """

    prompts: int = 0
    sampled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    most_output_tokens: int = 0
    cost_low: float | None = 0.0
    cost: float | None = 0.0
    cost_high: float | None = 0.0
    unpriced: int = 0
    seconds_low: float = 0.0
    seconds: float = 0.0
    seconds_high: float = 0.0
    limited_by: LimitingFactor | None = None
    learned: bool = False
    models: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Share:
    """What one model will get; sums over the prompts that were looked at.

    ``stepped``: a large prompt has another price, so that ``paid`` is summed prompt by prompt: dollars, low, expected and
    high, and prompts without a price. Else the sums of the tokens have the price.
    """

    template: RequestTemplate
    unknown_cost: float | None
    requests: float = 0.0
    read: float = 0.0
    short: float = 0.0
    written: float = 0.0
    most: float = 0.0
    stepped: bool = False
    paid: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        model = self.template.model
        self.stepped = model.service_prices.get(self.template.options.service_tier or "", model.price).tier is not None

    def add(self, weight: float, read: float, short: float, written: float, most: float) -> None:
        """So much of a prompt, whose answer is so long: short, expected, the longest."""
        self.requests += weight
        self.read += weight * read
        self.short += weight * short
        self.written += weight * written
        self.most += weight * most
        if self.stepped:
            one = self._dollars(1.0, read, short, written, most)
            self.paid = tuple(before + weight * more for before, more in zip(self.paid, one))

    def dollars(self) -> tuple[float, ...]:
        """Low, expected, high, and how many prompts are in none of them."""
        return self.paid if self.stepped else self._dollars(self.requests, self.read, self.short, self.written, self.most)

    def _dollars(self, requests: float, read: float, *lengths: float) -> tuple[float, ...]:
        model, tier = self.template.model, self.template.options.service_tier
        costs = [model.cost(Usage(round(read), round(tokens)), tier) for tokens in lengths]
        if costs[1] is None:
            unknown = requests * (self.unknown_cost or 0.0)
            return unknown, unknown, unknown, requests * (self.unknown_cost is None)
        return costs[0] or 0.0, costs[1], costs[2] or 0.0, 0.0


class Estimator:
    """Looks at prompts of one call, one by one. ``scheduler`` is read only, under its owner's lock."""

    def __init__(self, plan: Plan, scheduler: Scheduler) -> None:
        self._plan = plan
        self._scheduler = scheduler
        self._lanes: dict[str, Lane] = {}
        self._shares: dict[str, _Share] = {}
        self._seen: set[object] = set()
        self._looked = 0
        self._asked_for: list[tuple[LimitingFactor | None, Deck, float, int, float]] = []

    def add(self, prompts: Iterable[Any]) -> None:
        """Looks at these prompts."""
        for prompt in prompts:
            task = self._plan.task(self._looked, prompt)
            self._looked += 1
            if task.refused is not None or task.share is not None and task.share in self._seen:
                continue
            if task.share is not None:
                self._seen.add(task.share)
            for template, weight in self._asked(task):
                self._look(task, template, weight)

    def _asked(self, task: Task) -> list[tuple[RequestTemplate, float]]:
        """The models that may be asked, with the share of each."""
        call = task.call
        if task.template is not None:
            return [(task.template, 1.0)]
        if task.prefer in call.templates:
            return [(call.templates[task.prefer or ""], 1.0)]
        router = call.router
        return [(call.templates[name], share) for name, share in zip(router.names, router.shares) if share > 0]

    def _look(self, task: Task, template: RequestTemplate, weight: float) -> None:
        model, most = template.model, template.params.max_new_tokens
        learned = self._estimator_of(template)
        read = learned.expected_input(task.size)
        expected = learned.expected_output(most)
        low, written = expected if expected is not None else (1.0, _guessed(task, template))
        share = self._shares.get(model.id)
        if share is None:
            share = self._shares[model.id] = _Share(template, task.call.unknown_cost)
        share.add(weight, read, low, written, most)

    def _estimator_of(self, template: RequestTemplate) -> TokenEstimator:
        """What the client has learned of the model, whatever the key; and the lane with the limits that hold for it."""
        id, scheduler = template.model.id, self._scheduler
        if id not in self._lanes:
            lanes = [lane for (name, _), lane in list(scheduler.lanes.items()) if name == id]
            settings = replace(scheduler.lane_settings(), leases=None)
            self._lanes[id] = max(lanes, key=lambda lane: lane.estimator.answers) if lanes else Lane(
                template.model, None, scheduler.model_limits.get(id), settings, Random(0), template.own_address)
        return self._lanes[id].estimator

    # ------------------------------------------------------------------ the sum

    def _scale(self, prompts: int | None) -> float:
        return (self._looked if prompts is None else prompts) / self._looked if self._looked else 0.0

    def result(self, prompts: int | None = None) -> Estimate:
        """The estimate for so many prompts, of which those that were looked at are a sample. Reads nothing but itself."""
        total = self._looked if prompts is None else prompts
        scale = self._scale(prompts)
        shares = self._shares.values()
        low, usual, high, without = (scale * sum(share.dollars()[at] for share in shares) for at in range(4))
        unpriced = round(without)
        priced = unpriced < round(scale * sum(share.requests for share in shares)) or not shares
        time, limited_by = self._time()
        counts = {name: int(scale * share.requests + 0.5) for name, share in self._shares.items()}
        return Estimate(
            prompts=total, sampled=self._looked, input_tokens=round(scale * sum(share.read for share in shares)),
            output_tokens=round(scale * sum(share.written for share in shares)),
            most_output_tokens=round(scale * sum(share.most for share in shares)),
            cost_low=low if priced else None, cost=usual if priced else None, cost_high=high if priced else None,
            unpriced=unpriced, seconds_low=time.low, seconds=time.seconds, seconds_high=time.high,
            limited_by=limited_by,
            learned=bool(self._lanes) and all(lane.estimator.knows_output for lane in self._lanes.values()), models=counts,
        )

    def look_at_limits(self, now: float, prompts: int | None = None) -> None:
        """Takes in what the limits in force are, what is used of them, and how long attempts took; ``now``: monotonic."""
        scheduler, scale = self._scheduler, self._scale(prompts)
        wide, self._asked_for = scheduler.bucket.snapshot(now), []
        decks = list[tuple[Deck, float]]()
        all_requests = all_tokens = 0.0
        for name, share in self._shares.items():
            lane = self._lanes[name]
            given, left = lane.quota.in_force(), lane.quota.remaining(now)
            deck = _deck_of(lane, share)
            count, read, written = scale * share.requests, scale * share.read, scale * share.written
            self._ask(deck, count, min(lane.adaptive.most, scheduler.slots), [
                ("requests/min", count * deck.tries, given.requests_per_minute, left[0]),
                ("tokens/min", read + written, given.tokens_per_minute, left[1]),
                ("tokens/min", read, given.input_tokens_per_minute, left[2]),
                ("tokens/min", written, given.output_tokens_per_minute, left[3]),
            ])
            decks.append((deck, count))
            if not lane.exempt:
                all_requests += lane.shared_requests * count * deck.tries
                all_tokens += read + written if lane.shared_tokens(1) else 0.0
        if decks:
            self._ask(mixed(decks), sum(count for _, count in decks), scheduler.slots, [
                ("requests/min", all_requests, wide.requests_per_minute, wide.remaining_requests),
                ("tokens/min", all_tokens, wide.tokens_per_minute, wide.remaining_tokens),
            ])

    def _ask(self, deck: Deck, count: float, slots: int,
             limits: list[tuple[LimitingFactor, float, Any, float | None]]) -> None:
        """So many prompts on so many slots, under these limits: of so much, so much per minute, and how much is left."""
        self._asked_for.append((None if count <= slots else "slots", deck, count, slots, 0.0))
        rolling = self._scheduler.mode != "bucket"
        for word, amount, limit, left in limits:
            if not isinstance(limit, (int, float)):
                continue
            over = amount - (limit if left is None else min(left, limit))
            if over <= 0.0:
                continue
            if rolling:  # a minute's worth goes at once, and again when that leaves the window
                windows = math.ceil(over / limit - 1e-9)
                begins, last = 60.0 * windows, over - (windows - 1) * limit
            else:
                begins, last = 60.0 * over / limit, limit / 60.0 * deck.held
            self._asked_for.append((word, deck, max(1.0, min(count, count * last / amount)), slots, begins))

    def _time(self) -> tuple[Duration, LimitingFactor | None]:
        """The longest of what each limit asks for, and which it is."""
        found = [(deck.duration(count, slots).after(begins), word) for word, deck, count, slots, begins in self._asked_for]
        if not found:
            return Duration(0.0, 0.0, 0.0), None
        longest, word = max(found, key=lambda pair: pair[0].seconds)
        return Duration(max(one.low for one, _ in found), longest.seconds, max(one.high for one, _ in found)), word


def _deck_of(lane: Lane, share: _Share) -> Deck:
    """What attempts of a model take: as they took so far, else as they are made to (rehearsal), else by rule of thumb."""
    attempts = lane.experience.attempts()
    if len(attempts) >= FEW_ANSWERS:
        return Deck(attempts)
    model = share.template.model
    if model.has("embedded") and share.template.own_address:
        return Deck([Taken(*attempt) for attempt in room("testing.profiles").PROFILES[model.id].attempts()])
    low, usual, high = (
        FIRST_LATENCY + PER_TOKEN * tokens / share.requests for tokens in (share.short, share.written, share.most)
    )
    return Deck([Taken(usual)], (low / usual, high / usual))


def _guessed(task: Task, template: RequestTemplate) -> float:
    """Tokens of an answer, by rule of thumb: what the prompt says, else half of what it may have."""
    most = template.params.max_new_tokens
    text = next((message.completion or "" for message in reversed(task.prompt.messages) if message.role == "user"), "")
    words = _WORDS.search(text) if "words" in text else None
    if words is not None:
        answer = float(words[1].replace(",", "")) * TOKENS_PER_WORD
    elif template.model.has("echoes"):
        answer = len(text) / 4
    else:
        answer = min(SHARE_OF_MOST * most, USUAL)
    if not template.model.has("echoes"):
        answer += EFFORTS.get(template.params.reasoning_effort or "none", 0)
    return min(float(most), max(1.0, answer))


def sample_of(items: Iterable[Any], size: int | None) -> tuple[list[Any] | Iterable[Any], int | None]:
    """As many of the items, evenly likely and the same each time, and how many there are (None: all of them are there)."""
    if size is None:
        return items, None
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"sample is a number of prompts from 1 on, not {size!r}")
    dice, kept, count = Random(0), list[Any](), 0
    for count, item in enumerate(items, 1):
        if len(kept) < size:
            kept.append(item)
        elif (at := dice.randrange(count)) < size:
            kept[at] = item
    return kept, count
