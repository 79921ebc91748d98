"""Between an engine and the quota that it shares with other processes: what is told, what is heard, and when."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import uuid
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

from deluge import _log
from deluge.admission import promised
from deluge.lifecycle import rung
from deluge.limits import BucketMaker, LaneNotice, Mode, QuotaBucket
from deluge.limits.leased import LeasedBucket
from deluge.models.model import Limits
from deluge.quota.words import UNBOUND, Answer, Learned, Quota, QuotaUnavailable, Report
from deluge.scheduler import Scheduler

logger = _log.logger("quota")

CLIENT = "client"  # the lane of the client-wide limits
ECHO = 0.3  # seconds by which a cooldown that we hear of may differ from one that we know: it is the same
REST = 1.0  # seconds until the thread looks again when nothing is due
Due = list[tuple[LeasedBucket, Report]]


class Engine(Protocol):
    """What is needed of an engine here."""

    def share(self, alarm: queue.SimpleQueue[None]) -> float | None:
        """One exchange with the quota, if it is due; seconds until the next, None when the thread is to end."""


class Leasing:
    """One engine's part in a shared quota. Everything but ``ask`` is called under the engine's lock."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._threads: list[threading.Thread] = []
        self._begin()

    def _begin(self) -> None:
        self._buckets: list[LeasedBucket] = []
        self.alarm: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._due_at = 0.0  # when the thread wakes by itself; 0.0 while it works
        self._warned = False
        self._pauses: dict[str, float] = {}  # what we have to tell: until when
        self._learned: dict[str, Learned] = {}
        self._known: dict[str, float] = {}  # the cooldowns that we have told or heard of
        self._heard: dict[str, Learned] = {}

    # ------------------------------------------------------------------ buckets

    def settings(self, limits: Mapping[str, Any]) -> dict[str, Any]:
        """What a new scheduler gets besides its limits: buckets that are fed with leases."""
        self._buckets.clear()
        self._member = uuid.uuid4().hex[:16]
        mode = limits.get("mode", "rolling")
        shared = self.bucket(promised(limits["requests_per_minute"]), promised(limits["tokens_per_minute"]), mode)
        return {"bucket": shared, "leases": self._of_lane}

    def _of_lane(self, model: str, key: str | None) -> BucketMaker:
        """What makes the buckets of a model's own limits, with that key."""
        name = lane_name(model, key)

        def make(requests: float | None, tokens: float | None, mode: Mode, limit: str) -> LeasedBucket:
            return self.bucket(requests, tokens, mode, f"{name}.{limit}")

        return make

    def bucket(self, requests_per_minute: float | None, tokens_per_minute: float | None, mode: Mode,
               lane: str = CLIENT) -> LeasedBucket:
        """A bucket that is fed from the quota; those of the same lane, in whatever process, share its limits."""
        own = QuotaBucket(requests_per_minute, tokens_per_minute, mode=mode)
        made = LeasedBucket(own, lane=lane, member=self._member, processes=self.quota.processes)
        self._buckets.append(made)
        return made

    # ------------------------------------------------------------------ the thread

    def start(self, engine: Engine) -> None:
        """Starts the thread of these tasks."""
        self.alarm = queue.SimpleQueue()
        self._due_at = 0.0
        thread = threading.Thread(target=keep_leases, args=(weakref.ref(engine), self.alarm), name="deluge-quota", daemon=True)
        self._threads = [thread]
        thread.start()

    def stop(self) -> None:
        """Lets the thread say its last word and end."""
        self.alarm.put(None)

    def join(self, timeout: float) -> None:
        """Waits for the thread's last word, but not for long. Called without the lock."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def look(self) -> None:
        """Wakes the thread when something is due earlier than it will wake by itself."""
        if self._due_at <= 0.0:
            return
        for bucket in self._buckets:
            if bucket.ask_at < self._due_at:
                self._due_at = 0.0
                self.alarm.put(None)
                return

    def after_fork(self) -> None:
        """In a forked child: another member of the quota, with nothing on lease."""
        self.quota.after_fork()
        self._threads = []
        self._begin()

    # ------------------------------------------------------------------ telling and hearing

    def due(self, scheduler: Scheduler, now: float, *, leaves: bool = False) -> Due:
        """What is to be told now, bucket by bucket."""
        self._due_at = 0.0
        self._listen(scheduler, now)
        told = leaves or bool(self._pauses or self._learned)
        found = [bucket for bucket in self._buckets if bucket.ask_at <= now or leaves or (told and bucket.lane == CLIENT)]
        if not found:
            return []
        waiting = {id(scheduler.bucket): scheduler.waiting}
        for lane in scheduler.lanes.values():
            waiting.update((id(bucket), lane.waiting) for bucket, _ in lane.quota.buckets)
        scheduler.note_sent(now)
        pauses = {lane: until - now for lane, until in self._pauses.items()}
        due: Due = []
        for bucket in found:
            news: dict[str, Any] = {"pauses": pauses, "learned": dict(self._learned)} if bucket.lane == CLIENT else {}
            due.append((bucket, bucket.report(now, waiting.get(id(bucket), 0), leaves=leaves, **news)))
        return due

    def _listen(self, scheduler: Scheduler, now: float) -> None:
        """Takes in what the scheduler has to tell."""
        notices, scheduler.notices = scheduler.notices or [], []
        for notice in notices:
            name = lane_name(notice.model, notice.api_key)
            if notice.cooling_until is not None:
                self._pauses[name] = self._known[name] = notice.cooling_until
            if notice.limits is not None:
                self._learned[name] = self._heard[name] = _numbers(notice.limits)
        for known in (self._pauses, self._known):
            for name in [name for name, until in known.items() if until <= now]:
                del known[name]

    def ask(self, due: Due) -> list[Answer] | str:
        """The quota's answers, or why there are none. Called without the lock."""
        try:
            return self.quota.exchange([report for _, report in due])
        except QuotaUnavailable as error:
            return str(error)
        except Exception as error:  # a quota of the user's, or our bug: prompts must not wait for it
            return f"{type(error).__name__}: {error}"

    def hear(self, due: Due, said: list[Answer] | str, scheduler: Scheduler, now: float) -> bool:
        """The quota has answered, or has not. Whether the scheduler has something to decide."""
        if isinstance(said, str):
            alone = [bucket.failed(now) for bucket, _ in due]
            if not any(alone):
                return False
            if not self._warned:
                self._warned = True
                _log.event(logger, logging.WARNING, "the shared quota cannot be asked: this process keeps to its part of it",
                           reason=said)
            scheduler.leased(now)
            return True
        more = False
        for (bucket, report), answer in zip(due, said):
            more = bucket.answered(report, answer, now) or more
            if report.lane == CLIENT:
                if report.pauses or report.learned:
                    self._pauses = {lane: until for lane, until in self._pauses.items() if lane not in report.pauses}
                    self._learned = {lane: told for lane, told in self._learned.items() if report.learned.get(lane) != told}
                if answer.pauses or answer.learned:
                    more = True
                    self._tell(scheduler, answer, now)
        if self._warned and not any(bucket.alone for bucket in self._buckets):
            self._warned = False
            _log.event(logger, logging.INFO, "the shared quota can be asked again")
        if more:
            scheduler.leased(now)
        return more

    def _tell(self, scheduler: Scheduler, answer: Answer, now: float) -> None:
        """Passes on what other processes have said of lanes that this one uses."""
        for model, key in list(scheduler.lanes):
            name = lane_name(model, key)
            until, limits = now + answer.pauses.get(name, 0.0), answer.learned.get(name)
            if until > max(now, self._known.get(name, 0.0) + ECHO):
                self._known[name] = until
                scheduler.told(LaneNotice(model, key, cooling_until=until), now)
            if limits is not None and self._heard.get(name) != limits:
                self._heard[name] = limits
                known = [None if limit == UNBOUND else limit for limit in limits]
                scheduler.told(LaneNotice(model, key, limits=Limits(known[0], known[1], known[2], known[3])), now)

    def rest(self, now: float) -> float:
        """Seconds until something is due."""
        self._due_at = min([bucket.ask_at for bucket in self._buckets], default=now + REST)
        if self._pauses or self._learned:
            self._due_at = min(self._due_at, now + REST)
        return max(0.001, self._due_at - now)


def keep_leases(engine_ref: weakref.ref[Engine], alarm: queue.SimpleQueue[None]) -> None:
    """The quota's thread. It holds the engine only while it works, so that a forgotten client can go."""
    while True:
        engine = engine_ref()
        if engine is None:
            return
        timeout = engine.share(alarm)
        del engine
        if timeout is None:
            return
        for _ in rung(alarm, timeout):
            pass


def lane_name(model: str, key: str | None) -> str:
    """A name for a model and a key under which processes that use both find each other; the key cannot be read from it."""
    text = f"{model}\0{key or ''}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12, person=b"deluge-lane").hexdigest()


def _numbers(limits: Limits) -> Learned:
    known = (limits.requests_per_minute, limits.tokens_per_minute, limits.input_tokens_per_minute,
             limits.output_tokens_per_minute)
    first, second, third, fourth = (UNBOUND if limit is None or isinstance(limit, str) else float(limit) for limit in known)
    return first, second, third, fourth
