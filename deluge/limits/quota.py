"""The limits of one lane: those that it was given, and those that its provider tells in headers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deluge.dialects._rate_limits import RateLimitInfo
from deluge.limits.bucket import Bucket, BucketMaker, QuotaBucket
from deluge.limits.claims import NOTHING, Amounts, Claim, Claims
from deluge.limits.gauge import Gauge, window_of
from deluge.limits.ledger import UNLIMITED, Mode, Reservation
from deluge.limits.pace import Pace
from deluge.limits.window import MINUTE
from deluge.adaptation import Adaptation
from deluge.models.model import Limits, Model
from deluge.status import LimitingFactor
from deluge.usage import Usage

COUNTERS = ("requests", "tokens", "input_tokens", "output_tokens")
REQUESTS, TOKENS, INPUT, OUTPUT = range(4)
LITTLE = 0.5  # of a limit: when less than that is left, headers are read more often


@dataclass(frozen=True, slots=True)
class Counting:
    """What a provider counts against its token limits.

    ``most``: the request's maximum of output in place of what was written (``reserved``: until the reply is there).
    ``cached``: whether input that was read from its cache counts. ``output``: whether output counts as tokens at all.
    """

    most: bool = False
    reserved: bool = False
    cached: bool = True
    output: bool = True

    @classmethod
    def of(cls, model: Model) -> Counting:
        """As the catalog says."""
        return cls(model.has("counts_max_tokens"), model.has("reserves_max_tokens"), not model.has("cached_input_free"),
                   not model.has("counts_input_only"))

    def expected(self, tokens_in: int, tokens_out: int, most: int) -> Amounts:
        """What a request will be counted for when it comes in."""
        if self.most:
            return 1, max(tokens_in, most), tokens_in, most
        out = most if self.reserved else tokens_out
        return 1, tokens_in + (out if self.output else 0), tokens_in, out

    def used(self, usage: Usage, most: int) -> Amounts:
        """What an answer was counted for."""
        read = usage.total_input_tokens if self.cached else usage.total_input_tokens - usage.cache_read_tokens
        if self.most and usage.total_tokens:
            return 1, max(read, most), read, most
        return 1, read + (usage.output_tokens if self.output else 0), read, usage.output_tokens


_PLAIN = Counting()


class LaneQuota:
    """Requests and tokens of one lane, all of its limits together or none.

    ``buckets``: the limits that it was given. ``gauges``: what the provider's headers say is left, by counter and
    window. ``pace``: for a provider that slices. ``refusal``: which limit said no last. ``make`` makes the buckets; where
    the quota is shared they are fed with leases.
    """

    __slots__ = ("given", "buckets", "learned", "gauges", "pace", "counting", "refusal", "listen_at", "claims", "_rules",
                 "_shared", "_make")

    def __init__(self, given: Limits, shared: tuple[float | None, float | None], mode: Mode, rules: Adaptation,
                 counting: Counting = _PLAIN, make: BucketMaker | None = None) -> None:
        self.given = given
        self._make = make or _alone
        self._shared = shared
        self._rules = rules
        self.counting = counting
        self.buckets: list[tuple[Bucket, int]] = []
        rpm, tpm = _number(given.requests_per_minute), _number(given.tokens_per_minute)
        if rpm is not None or tpm is not None:
            self.buckets.append((self._make(rpm, tpm, mode, "both"), TOKENS))
        for limit, counter in ((given.input_tokens_per_minute, INPUT), (given.output_tokens_per_minute, OUTPUT)):
            number = _number(limit)
            if number is not None:
                self.buckets.append((self._make(None, number, mode, COUNTERS[counter]), counter))
        self.learned: Bucket | None = None  # a rolling minute, where the provider's own is a fixed or rolling one
        self.gauges: dict[tuple[int, float], Gauge] = {}
        self.pace = Pace(self.requests_per_minute, self.tokens_per_minute, rules)
        self.refusal: LimitingFactor | None = None
        self.listen_at = 0.0  # when headers are read again
        self.claims = Claims()

    @property
    def requests_per_minute(self) -> float | None:
        """The lowest limit on requests that is known."""
        return _least(_number(self.given.requests_per_minute), self._shared[0], self.told(REQUESTS))

    @property
    def tokens_per_minute(self) -> float | None:
        """The lowest limit on tokens that is known."""
        return _least(_number(self.given.tokens_per_minute), self._shared[1], self.told(TOKENS))

    def told(self, counter: int) -> float | None:
        """The provider's limit per minute, as far as it is believed."""
        gauge = self.gauges.get((counter, MINUTE))
        return None if gauge is None else gauge.per_minute

    @property
    def promised(self) -> Limits:
        """What was given, here and to the client as a whole."""
        given, shared = self.given, self._shared
        return Limits(
            _least(_number(given.requests_per_minute), shared[0]), _least(_number(given.tokens_per_minute), shared[1]),
            _number(given.input_tokens_per_minute), _number(given.output_tokens_per_minute),
        )

    def follow(self, shared: tuple[float | None, float | None], now: float) -> None:
        """The client-wide limits have changed."""
        self._shared = shared
        self.pace.follow(self.requests_per_minute, self.tokens_per_minute, now)

    # ------------------------------------------------------------------ starting

    def check(self, tokens_in: int, tokens_out: int, most: int, now: float) -> float:
        """0.0 when all limits have room, else seconds to wait, with ``refusal`` set."""
        if not (self.buckets or self.gauges or self.pace.rate):
            return 0.0
        wait = self.pace.check(now)
        if wait > 0.0 and not (self.pace.pinned and self._may_ask()):
            self.refusal = "requests/min" if self.pace.pinned else "cooldown"
            return wait
        amounts = self.counting.expected(tokens_in, tokens_out, most)
        for (counter, _), gauge in self.gauges.items():
            wait = gauge.wait(amounts[counter], now)
            if wait > 0.0 and (self.claims.open or not gauge.may_probe(amounts[counter])):
                self.refusal = "requests/min" if counter == REQUESTS else "tokens/min"
                return wait
        for bucket, counter in self.buckets:
            wait = bucket.check(amounts[counter], now)
            if bucket is self.learned and wait > 0.0 and not self.claims.open:
                wait = min(wait, self._reset_in(now))
            if wait > 0.0:
                self.refusal = "requests/min" if counter == TOKENS and bucket.lacks_requests(now) else "tokens/min"
                return wait
        return 0.0

    def take(self, tokens_in: int, tokens_out: int, most: int, now: float) -> Claim:
        """Debits everything for a start that ``check`` allowed."""
        amounts = self.counting.expected(tokens_in, tokens_out, most)
        own: tuple[Reservation, ...] = ()
        if self.buckets:
            own = tuple([bucket.take(amounts[counter], now) for bucket, counter in self.buckets])
        self.pace.took(now, amounts[TOKENS])
        for (counter, _), gauge in self.gauges.items():
            gauge.level -= amounts[counter]
        claim = Claim(amounts, own, now)
        self.claims.add(claim)
        return claim

    def sent(self, claim: Claim, at: float) -> None:
        """It left at that time."""
        for (bucket, _), reservation in zip(self.buckets, claim.own):
            bucket.sent(reservation, at)

    def refund(self, claim: Claim) -> None:
        """It never left."""
        for (bucket, _), reservation in zip(self.buckets, claim.own):
            bucket.refund(reservation)
        self._correct(claim, NOTHING)

    def settle(self, claim: Claim, usage: Usage, most: int, now: float) -> None:
        """Corrects the tokens to what was used."""
        used = self.counting.used(usage, most)
        for (bucket, counter), reservation in zip(self.buckets, claim.own):
            bucket.settle(reservation, used[counter], now)
        if usage.total_tokens and self.gauges:
            self.claims.answered(claim, used)
        if self.learned is not None and len(claim.own) < len(self.buckets):  # it was there before that limit was known
            self.learned.charge(0, used[TOKENS] - claim.amounts[TOKENS], now)
        self._correct(claim, used)

    def close(self, claim: Claim) -> None:
        """Nothing more will be known of it."""
        self.claims.close(claim)

    def _correct(self, claim: Claim, used: Amounts) -> None:
        was = claim.amounts
        if claim.closed:
            return
        self.close(claim)
        if used == was:
            return
        claim.amounts = used
        self.pace.corrected(used[TOKENS] - was[TOKENS])
        for (counter, _), gauge in self.gauges.items():
            gauge.level -= used[counter] - was[counter]

    def _may_ask(self) -> bool:
        """Whether one request may go in spite of the pace, to see what is left: nothing is under way, and half was."""
        return not self.claims.open and all(gauge.half_is_left for gauge in self.gauges.values())

    def _reset_in(self, now: float) -> float:
        """Seconds until one request may ask what is left though our own minute is not over: the provider's may be."""
        if self._may_ask():
            return 0.0
        return max([0.0, *(gauge.reset_in(now) for gauge in self.gauges.values() if gauge.window <= MINUTE)])

    # ------------------------------------------------------------------ listening

    def hear(self, info: RateLimitInfo, claim: Claim | None, sent_at: float, now: float) -> bool:
        """What the headers of a reply say; True when a limit has changed by it."""
        before = self.limits()
        later = self.claims.later_than(claim, sent_at)
        low, alone = False, self.claims.is_alone(claim, sent_at)
        for quota in info.quotas:
            counter, window = key = COUNTERS.index(quota.counter), window_of(quota)
            gauge = self.gauges.get(key)
            if gauge is None:
                gauge = self.gauges[key] = Gauge(counter, window, self._rules.grow)
            gauge.guess_window(quota, self.claims, sent_at, now)
            gauge.hear(quota, later, sent_at, now, alone)
            low = low or gauge.level < LITTLE * (gauge.limit or 0.0)
        self.listen_at = now + (self._rules.listen_every * (0.4 if low else 1.0) if info else DEAF)
        self._adopt(now)
        return self.limits() != before

    def limits(self) -> Limits:
        """What the provider's replies say that the account may use per minute."""
        return Limits(self.told(REQUESTS), self.told(TOKENS), self.told(INPUT), self.told(OUTPUT))

    def in_force(self) -> Limits:
        """The lower of what was given and what was learned."""
        given = self.given
        return Limits(
            self.requests_per_minute, self.tokens_per_minute,
            _least(_number(given.input_tokens_per_minute), self.told(INPUT)),
            _least(_number(given.output_tokens_per_minute), self.told(OUTPUT)),
        )

    def remaining(self, now: float) -> list[float | None]:
        """What is left of each counter, as far as limits are known."""
        left: list[list[float]] = [[], [], [], []]
        for (counter, _), gauge in self.gauges.items():
            if gauge.at(now) < UNLIMITED:
                left[counter].append(max(0.0, float(int(gauge.at(now)))))
        for bucket, counter in self.buckets:
            state = bucket.snapshot(now)
            if state.remaining_tokens is not None:
                left[counter].append(state.remaining_tokens)
            if counter == TOKENS and state.remaining_requests is not None:
                left[REQUESTS].append(state.remaining_requests)
        return [min(values) if values else None for values in left]

    def learn(self, limits: Limits, now: float) -> None:
        """Limits that another process has learned: what this one was not told itself."""
        for counter, limit in ((REQUESTS, limits.requests_per_minute), (TOKENS, limits.tokens_per_minute),
                               (INPUT, limits.input_tokens_per_minute), (OUTPUT, limits.output_tokens_per_minute)):
            number = _number(limit)
            if number is not None and (counter, MINUTE) not in self.gauges:
                gauge = self.gauges[counter, MINUTE] = Gauge(counter, MINUTE, self._rules.grow)
                gauge.limit = gauge.told = number
                gauge.heard_at = now
        self._adopt(now)

    def is_unused(self, now: float) -> bool:
        """Whether nothing counts any more of what was given: a new one would allow no more than this one."""
        states = [bucket.snapshot(now) for bucket, _ in self.buckets]
        return not self.claims.open and not any(state.used_requests or state.used_tokens for state in states)

    def dry_for(self, now: float) -> float | None:
        """Seconds until there is room again, where a reply has said that nothing remains of a minute or a day.

        None also where that comes back all the time or within seconds: the gauges themselves wait for it.
        """
        waits = [gauge.reset_at - now for gauge in self.gauges.values()
                 if gauge.heard_at == now and gauge.remaining == 0.0 and not (gauge.refills or gauge.sliced)]
        longest = max(waits, default=0.0)
        return longest if 0.0 < longest < UNLIMITED else None

    def _adopt(self, now: float) -> None:
        pace = self.pace
        limits = self.requests_per_minute, self.tokens_per_minute
        if limits != (pace.limit, pace.tokens):
            pace.follow(*limits, now)
        for counter in (REQUESTS, TOKENS):
            gauge = self.gauges.get((counter, MINUTE))
            if gauge is not None and gauge.sliced:
                pace.pin(now)
        if self.learned is None:
            self._keep_minute(now)
        elif (self.learned.requests_per_minute, self.learned.tokens_per_minute) != self._stepped():
            requests, tokens = self._stepped()
            self.learned.set_limits(requests_per_minute=requests, tokens_per_minute=tokens, now=now)

    def _stepped(self) -> tuple[float | None, float | None]:
        """Limits of minutes that come back all at once, where nothing given is lower."""
        found: list[float | None] = []
        for counter, given in ((REQUESTS, _least(_number(self.given.requests_per_minute), self._shared[0])),
                               (TOKENS, _least(_number(self.given.tokens_per_minute), self._shared[1]))):
            gauge = self.gauges.get((counter, MINUTE))
            bound = None if gauge is None or gauge.refills or gauge.sliced else gauge.per_minute
            found.append(None if bound is None or (given is not None and given <= bound) else bound)
        return found[0], found[1]

    def _keep_minute(self, now: float) -> None:
        requests, tokens = self._stepped()
        if requests is None and tokens is None:
            return
        self.learned = self._make(requests, tokens, "rolling", "learned")
        so_far = self.claims.started()
        self.learned.charge(so_far[REQUESTS], so_far[TOKENS], now)
        self.buckets.append((self.learned, TOKENS))


DEAF = 1.0  # seconds until headers are looked at again where there were none


def _alone(requests: float | None, tokens: float | None, mode: Mode, limit: str) -> Bucket:
    """A bucket of this process's own."""
    return QuotaBucket(requests, tokens, mode=mode)


def _number(limit: float | str | None) -> float | None:
    """A limit as a number; None where it says nothing, is lifted, or left to the provider."""
    return None if limit is None or isinstance(limit, str) or limit == UNLIMITED else float(limit)


def _least(*limits: float | None) -> float | None:
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None
