"""One attempt for equal prompts: the first of them is sent, the others follow it and end with copies of its answer. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from deluge.landing import Landing
from deluge.response import APIResponse
from deluge.tasks import FOLLOWING, HELD, QUEUED, RUNNING, WAITING, Call, Task, failed
from deluge.tracker import StatusTracker
from deluge.usage import NO_USAGE
from deluge.wire import Verdict

# What of a task belongs to the attempt that it shares, not to whoever asked.
_STORY = (
    "model", "lane", "attempts", "burned", "rate_limited", "limited_for", "timeouts", "resent", "idle", "first_at",
    "cooled_at", "exchange", "next_call", "poll_until", "due_at", "tokens", "repairs", "unfit", "size",
)
BACKOFF, POLL, CALL_ENDS = range(3)  # what a timer is for


class Share:
    """Equal prompts: the ``leader`` is sent, the ``followers`` wait. ``answer``: it has come, and is not in the cache yet."""

    __slots__ = ("leader", "followers", "answer")

    def __init__(self, leader: Task) -> None:
        self.leader = leader
        self.followers: deque[Task] = deque()
        self.answer: APIResponse | None = None


class Sharing(Landing):
    """Knows which prompts are equal. When the caller of the leader goes, another one inherits what is under way."""

    def __init__(self, tracker: StatusTracker, *, wall: float = 0.0, **admission: Any) -> None:
        super().__init__(tracker, wall=wall, **admission)
        self.shares: dict[object, Share] = {}
        self.settling: list[object] = []  # shares whose answer goes into a cache now

    def _at(self, at: float, what: int, item: Any) -> None:
        raise TypeError("Sharing needs a scheduler that has timers")

    def claim(self, tasks: Sequence[Task], now: float) -> list[Task]:
        """Those of the tasks that have to be looked up, then submitted. The others follow one that is under way."""
        first = []
        for task in tasks:
            if task.share is None:
                first.append(task)
                continue
            answers = task.call.answers
            answer = None if answers is None else answers.get(task.share)
            share = self.shares.get(task.share)
            if answer is None and share is None:
                self.shares[task.share] = Share(task)
                first.append(task)
            else:
                self._follow(task, share, answer, now)
        return first

    def served(self, task: Task, response: APIResponse, now: float) -> None:
        """A task has its answer from a cache or a journal: its followers have it too."""
        _remember(task, response, task.call)
        share = self.shares.get(task.share)
        if share is None or share.leader is not task:
            return
        del self.shares[task.share]
        for follower in share.followers:
            self._end(follower, _copied(response, follower, "cache" if response.source == "cache" else "dedupe"), now)

    def settled(self, keys: Iterable[object]) -> None:
        """The caches have the answers of these shares: whoever comes now finds them there."""
        for key in keys:
            share = self.shares.get(key)
            if share is not None and share.answer is not None:
                del self.shares[key]

    def _follow(self, task: Task, share: Share | None, answer: APIResponse | None, now: float) -> None:
        self.tracker.started(1)
        task.created_at = now
        task.call.unfinished.add(task)
        if answer is None and share is not None:
            answer = share.answer
        if task.call.closed is not None:
            self._end(task, failed(task, Verdict("cancelled", message=task.call.closed)), now)
        elif answer is not None:
            task.as_delivered = answer.source == "journal"
            self._end(task, _copied(answer, task), now)
        else:
            assert share is not None
            task.state = FOLLOWING
            share.followers.append(task)

    def _end(self, task: Task, response: APIResponse, now: float) -> None:
        if task.share is not None and response.error_kind in ("cancelled", "budget"):
            self._pass_on(task, now)
        super()._end(task, response, now)
        share = None if task.share is None else self.shares.get(task.share)
        if share is None:
            return
        if share.leader is task:
            self._lead_ended(share, task, response, now)
        elif task in share.followers:
            share.followers.remove(task)

    def _lead_ended(self, share: Share, task: Task, response: APIResponse, now: float) -> None:
        key = task.share
        if response.is_error or task.call.cache is None:
            del self.shares[key]
        else:
            share.answer = response.replaced()  # hooks may change the one that is delivered
            self.settling.append(key)
        _remember(task, response, task.call)
        followers, share.followers = share.followers, deque()
        for follower in followers:
            _remember(follower, response, task.call)
            self._end(follower, _copied(response, follower), now)

    # ------------------------------------------------------------------ the leader's caller goes

    def _pass_on(self, task: Task, now: float) -> bool:
        """Another prompt inherits what is under way for this one; False when there is nobody."""
        share = None if task.share is None else self.shares.get(task.share)
        if share is None or share.leader is not task or share.answer is not None:
            return False
        for heir in share.followers:
            if heir.call.spent is None:  # that its call is closed is no reason: what was taken before a drain goes on
                share.followers.remove(heir)
                share.leader = heir
                self._inherit(task, heir, now)
                return True
        return False

    def _inherit(self, task: Task, heir: Task, now: float) -> None:
        state, flight, lane = task.state, task.flight, task.lane
        self._leave_timers(task)
        heir.template = task.template
        if state in (QUEUED, HELD) and flight is None:
            heir.attempts, heir.burned, heir.model = task.attempts, task.burned, task.model or self._pick(heir)
            task.attempts = ()
            heir.state, heir.lane = QUEUED, None
            self.forget(task)
            self._admit(heir, now)
            return
        for name in _STORY:
            setattr(heir, name, getattr(task, name))
        task.exchange, task.attempts = None, ()
        if lane is not None and lane.probe is task:
            lane.probe = heir
        if flight is not None:
            flight.task, heir.flight, task.flight = heir, flight, None
        if flight is not None and flight in self.flights:
            heir.state = RUNNING
        else:
            heir.state = WAITING
            self.backing_off += flight is None
            self._at(task.due_at, BACKOFF if flight is None else POLL, heir)

    def _leave_timers(self, task: Task) -> None:
        raise TypeError("Sharing needs a scheduler that has timers")


def _remember(task: Task, response: APIResponse, owner: Call) -> None:
    """A call that lasts keeps its answers for equal prompts that come later, as they came, up to as many as it may."""
    answers = task.call.answers
    if answers is None or response.is_error or task.share in answers:
        return
    untouched = owner is task.call and not owner.seen_early
    answers[task.share] = response if untouched else response.replaced()
    if len(answers) > task.call.most_answers:
        del answers[next(iter(answers))]


def _copied(response: APIResponse, task: Task, source: Any = "dedupe") -> APIResponse:
    """The answer of an equal prompt as this one's own: it cost nothing."""
    return response.replaced(
        prompt=task.prompt, source=source, usage=NO_USAGE, cost=None if response.is_error else 0.0, attempts=(),
        started_at=None, latency=None, time_to_first_token=None, trajectory=None,
    )
