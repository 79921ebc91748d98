"""Which lane a task goes to, and what happens when a lane shuts: a key refused, a model gone, a wait too long. Pure."""

from __future__ import annotations

from typing import Any

from deluge.admission import Admission
from deluge.lanes import PROBE_AFTER, Lane
from deluge.response import APIResponse
from deluge.tasks import ENDED, QUEUED, WAITING, Task, complete, failed
from deluge.tracker import StatusTracker
from deluge.wire import Verdict

CONFIRM = 2  # prompts that must be refused before a model is blocklisted


class Routing(Admission):
    """Admission, and the choice of the lane: by weight, by preference, or away from one that has shut."""

    def __init__(self, tracker: StatusTracker, *, wall: float = 0.0, **admission: Any) -> None:
        super().__init__(**admission)
        self.tracker = tracker
        self.wall = wall
        self.ended: list[tuple[Task, APIResponse]] = []
        self.messages: list[tuple[str, str, dict[str, Any]]] = []
        self.backing_off = 0

    def blocklisted(self, model: str) -> bool:
        """Whether the model is refused for every key that was tried."""
        lanes = [lane for (name, _), lane in self.lanes.items() if name == model]
        return bool(lanes) and all(lane.blocked for lane in lanes)

    def _pick(self, task: Task) -> str:
        call = task.call
        if task.template is not None:
            return task.template.model.id
        if task.prefer is not None and task.prefer in call.templates:
            return task.prefer
        return call.router.pick()

    def _admit(self, task: Task, now: float) -> None:
        """Queues a task in its lane, in another one where that is shut, or ends it where none can take it."""
        if task.refused is not None:
            self._end(task, failed(task, task.refused), now)
            return
        lane = self.lane_of(task)
        if self._shut(lane, now):
            other = self._other(task, now)
            if other is None:
                self._end(task, failed(task, self._why_shut(lane, now)), now)
                return
            task.model = other
            lane = self.lane_of(task)
        own = lane.bucket.tokens_per_minute if lane.bucket is not None else None
        bound = _least(None if lane.exempt else self.bucket.tokens_per_minute, own)
        if bound is not None and lane.estimator.lower_bound(task.size) > bound:
            message = f"the prompt has more tokens than the limit of {bound:,.0f} tokens per minute can ever admit"
            self._end(task, failed(task, Verdict("too_large", message=message)), now)
            return
        self.enqueue(task)

    def _shut(self, lane: Lane, now: float) -> bool:
        if now < lane.closed_until:
            return True
        if lane.blocked_at is None:
            return False
        if now - lane.blocked_at >= PROBE_AFTER and not lane.probing:
            lane.probing = True
            return False
        return True

    def _why_shut(self, lane: Lane, now: float) -> Verdict:
        if lane.blocked:
            return Verdict("auth", message=f"{lane.model} is blocklisted: {lane.blocked_message}")
        wait = lane.closed_until - now
        return Verdict("rate_limit", retry_after=wait, message=f"{lane.model} takes no requests for another {wait:.0f} s")

    def _other(self, task: Task, now: float) -> str | None:
        """Another model of the call that has not been tried for this task: in the order of the pool, then the fallbacks."""
        if task.template is not None:
            return None
        tried = {attempt.model for attempt in task.attempts} | {task.model}
        names = list(task.call.templates)
        start = names.index(task.model) + 1 if task.model in names else 0
        fallbacks = task.call.fallbacks
        order = [name for name in names[start:] + names[:start] if name not in fallbacks] + list(fallbacks)
        before = task.model
        for name in order:
            if name in tried:
                continue
            task.model = name
            shut = self._shut(self.lane_of(task), now)
            task.model = before
            if not shut:
                return name
        return None

    def _close(self, lane: Lane, until: float, now: float) -> None:
        """No request of this lane is welcome for longer than anybody waits: its queue hops, or ends with a RateLimitError."""
        lane.closed_until = max(lane.closed_until, until)
        self._reroute(lane, now)

    def _suspect(self, lane: Lane, task: Task, verdict: Verdict, now: float) -> None:
        """The key or the model was refused. A second prompt confirms it; a probe that fails confirms it again."""
        lane.suspects.add(task.id)
        if not lane.probing and len(lane.suspects) < CONFIRM:
            return
        lane.blocked_at, lane.probing = now, False
        lane.blocked_message = verdict.message
        lane.suspects.clear()
        text = "a model is blocklisted: its key or its name is refused; one prompt tries again in 5 minutes"
        self.messages.append(("WARNING", text, {"model": lane.model, "kind": verdict.kind}))
        self._reroute(lane, now)

    def _reopen(self, lane: Lane) -> None:
        """An answer: whatever was held against the key or the model is forgotten."""
        lane.blocked_at, lane.probing = None, False
        lane.suspects.clear()

    def _reroute(self, lane: Lane, now: float) -> None:
        """Moves what is queued in a lane that has shut."""
        for call in list(self.turns):
            heap = call.ready.pop(lane, [])
            if heap and not call.ready:
                self.turns.remove(call)
            for _, task in sorted(heap):
                if task.state == QUEUED and task.lane is lane:
                    self.forget(task)
                    self._admit(task, now)

    def _end(self, task: Task, response: APIResponse, now: float) -> None:
        """The one end of a task."""
        if task.state == WAITING and task.exchange is None:
            self.backing_off -= 1
        self.forget(task)
        task.state = ENDED
        task.call.unfinished.discard(task)
        complete(task, response, now, self.wall)
        self.tracker.finished(response)
        self.ended.append((task, response))


def _least(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None
