"""Which lane a task goes to, and what happens when a lane shuts: a key refused, a model gone, a wait too long. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from deluge.admission import Admission
from deluge.lanes import PROBE_AFTER, Lane
from deluge.response import APIResponse
from deluge.tasks import ENDED, QUEUED, Queue, Task, complete, failed
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
        return bool(lanes) and all(lane.blocked is not None for lane in lanes)

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
        lane = self.lane_of(task, now)
        other: str | None = None
        if self._shut(lane, now):
            other = self._other(task, now)
            if other is None:
                self._end(task, failed(task, self._why_shut(lane, now)), now)
                return
        elif task.call.fallbacks and task.unfit is None and now < lane.health.cooling_until:
            other = self._fallback(task, now)
        if other is not None:
            task.model = other
            lane = self.lane_of(task, now)
        bound = lane.most_tokens(self.bucket.tokens_per_minute)
        if bound is not None and lane.estimator.lower_bound(task.size) > bound:
            message = f"the prompt has more tokens than the limit of {bound:,.0f} tokens per minute can ever admit"
            self._end(task, failed(task, Verdict("too_large", message=message)), now)
            return
        if lane.blocked is not None:
            lane.probe = task
        self.enqueue(task, lane)

    def _shut(self, lane: Lane, now: float) -> bool:
        """Whether the lane takes nothing, not even one prompt as the probe of a blocklisted model."""
        if now < lane.closed_until:
            return True
        if lane.blocked is None:
            return False
        return now - lane.blocked_at < PROBE_AFTER or lane.probe is not None

    def _why_shut(self, lane: Lane, now: float) -> Verdict:
        if lane.blocked is not None:
            return Verdict(lane.blocked.kind, message=f"{lane.model} is blocklisted: {lane.blocked.message}")
        wait = lane.closed_until - now
        until = dt.datetime.fromtimestamp(self.wall + lane.closed_until, dt.timezone.utc).isoformat(" ", "seconds")
        message = f"{lane.model} takes no requests for another {wait:.0f} s, until {until}"
        return Verdict("rate_limit", retry_after=wait, message=message)

    def _other(self, task: Task, now: float) -> str | None:
        """Another model of the call that has not been tried for this task: in the order of the pool, then the fallbacks."""
        names, fallbacks = list(task.call.templates), task.call.fallbacks
        start = names.index(task.model) + 1 if task.model in names else 0
        pool = [name for name in names[start:] + names[:start] if name not in fallbacks]
        return self._open_one(task, (*pool, *fallbacks), now)

    def _fallback(self, task: Task, now: float) -> str | None:
        """A fallback that could start this task while its own lane cools down."""
        return self._open_one(task, task.call.fallbacks, now, cooling=False)

    def _open_one(self, task: Task, names: Iterable[str], now: float, cooling: bool = True) -> str | None:
        """The first of these models that was not tried yet and whose lane is open, cooling or not."""
        if task.template is not None:
            return None
        before = task.model
        tried = {attempt.model for attempt in task.attempts} | {before}
        for name in names:
            if name in tried:
                continue
            task.model = name
            lane = self.lane_of(task, now)
            task.model = before
            if not self._shut(lane, now) and (cooling or now >= lane.health.cooling_until):
                return name
        return None

    def _close(self, lane: Lane, until: float, now: float) -> None:
        """No request of this lane is welcome for longer than anybody waits: its queue hops, or ends with a RateLimitError."""
        lane.closed_until = max(lane.closed_until, until)
        self._reroute(lane, lane.queues(), now)

    def _suspect(self, lane: Lane, task: Task, verdict: Verdict, now: float) -> None:
        """The key or the model was refused. A second prompt confirms it; a probe that fails confirms it again."""
        if lane.blocked is not None and lane.probe is not task:
            return  # it was under way when the second prompt confirmed it
        lane.suspects.add(task.id)
        if lane.probe is not task and len(lane.suspects) < CONFIRM:
            return
        lane.blocked, lane.blocked_at, lane.probe = verdict, now, None
        lane.suspects.clear()
        text = "a model is blocklisted: its key or its name is refused; one prompt tries again in 5 minutes"
        self.messages.append(("WARNING", text, {"model": lane.model, "kind": verdict.kind}))
        self._reroute(lane, lane.queues(), now)

    def _reopen(self, lane: Lane) -> None:
        """An answer: whatever was held against the key or the model is forgotten."""
        lane.blocked = lane.probe = None
        lane.suspects.clear()

    def _leave_probe(self, task: Task) -> None:
        """A probe that ended without a yes or a no: the next prompt may try."""
        lane = task.lane
        if lane is not None and lane.probe is task:
            lane.probe = None

    def _reroute(self, lane: Lane, queues: Iterable[Queue], now: float) -> None:
        """Admits again what waits in these queues of a lane that has shut."""
        for queue in list(queues):
            lane.leave(queue)
            for _, task in sorted(queue):
                if task.state == QUEUED and task.lane is lane:
                    self.forget(task)
                    self._admit(task, now)

    def _end(self, task: Task, response: APIResponse, now: float) -> None:
        """The one end of a task."""
        self._leave_probe(task)
        self.forget(task)
        task.state, task.flight = ENDED, None
        task.call.unfinished.discard(task)
        complete(task, response, now, self.wall)
        if response.error_kind not in ("cancelled", "budget"):  # those are not recorded: the prompt is not done
            task.told = len(task.attempts)
        self.tracker.finished(response)
        self.ended.append((task, response))
        if response.is_error and response.error_kind not in ("cancelled", "budget"):
            self.messages.append(("WARNING", "a prompt failed", {
                "client": task.call.name, "task": task.id, "model": response.model_internal, "kind": response.error_kind,
                "attempt": f"{len(task.attempts)}/{task.call.policy.max_attempts}", "status": response.status_code,
                "request_id": response.request_id,
            }))
