"""Who starts next: turns between calls, lanes, slots, and both limits together or not at all. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from random import Random

from deluge.lanes import NEVER, Lane, bound_by
from deluge.limits import Mode, QuotaBucket, Ramp
from deluge.models.model import Limits
from deluge.status import LimitingFactor
from deluge.tasks import ENDED, QUEUED, RUNNING, Call, Flight, Switch, Task

LaneKey = tuple[str, "str | None"]


class Admission:
    """The ready tasks and everything that lets them start. One thread at a time may use it.

    FIFO inside a lane and a call, round robin between calls. What a lane refuses keeps its turn there, so that a large
    prompt is not overtaken for ever; what the client-wide limit refuses is overtaken by nobody.
    """

    def __init__(
        self, *, requests_per_minute: float | None, tokens_per_minute: float | None, slots: int,
        switch: Callable[[float], Switch], mode: Mode = "rolling", rng: Random | None = None,
        model_limits: Mapping[str, Limits] | None = None, default_limits: bool = False,
    ) -> None:
        self.bucket = QuotaBucket(requests_per_minute, tokens_per_minute, mode=mode)
        self.slots = slots
        self.mode = mode
        self.rng = rng or Random()
        self.model_limits = dict(model_limits or {})
        self.default_limits = default_limits
        self.ramp = Ramp.of_client()
        self.lanes: dict[LaneKey, Lane] = {}
        self.turns: deque[Call] = deque()
        self.polls: deque[Task] = deque()
        self.flights: set[Flight] = set()
        self.running = 0
        self.waiting = 0
        self.starts: list[Flight] = []
        self.deadline_at = NEVER
        self.retry_at = NEVER  # when the client-wide limit or a lane should be asked again
        self.shared_refusal: LimitingFactor | None = None
        self._switch = switch
        self._shared_retry_at = 0.0

    def lane_of(self, task: Task) -> Lane:
        """The lane of the task's model and key, made when it is first needed."""
        template = task.template_for(task.model)
        key = (task.model, template.api_key)
        lane = self.lanes.get(key)
        if lane is None:
            model = template.model
            own = self.model_limits.get(model.id, model.limits)
            exempt = self.default_limits and model.limits.requests_per_minute is not None
            lane = self.lanes[key] = Lane(
                model.id, own, exempt=exempt, rpm=self.bucket.requests_per_minute, mode=self.mode, rng=self.rng
            )
        return lane

    def enqueue(self, task: Task) -> None:
        """Puts a task, new or retried, into its lane's queue. Its number decides the order."""
        lane, call = self.lane_of(task), task.call
        task.lane, task.state = lane, QUEUED
        if not call.ready:
            self.turns.append(call)
        heappush(call.ready.setdefault(lane, []), (task.number, task))
        lane.waiting += 1
        self.waiting += 1

    def forget(self, task: Task) -> None:
        """Counts out a queued task that ended without a start; its place in the heap is skipped later."""
        lane = task.lane
        if lane is not None and task.state == QUEUED:
            lane.waiting -= 1
            self.waiting -= 1
            task.lane = None
            if lane.holder is task:
                lane.holder = None
                lane.retry_at = 0.0

    def fill(self, now: float) -> None:
        """Starts whatever may start now; ``starts`` collects the flights."""
        self.retry_at = NEVER
        self.shared_refusal = None
        if not (self.waiting or self.polls):
            return
        cap = min(self.slots, self.ramp.cap(now))
        while self.running < cap:
            if self.polls:
                self._fly_poll(self.polls.popleft(), now)
                continue
            if self._shared_retry_at > now:
                break
            task = self._next(now)
            if task is None:
                break
            self._fly(task, now)
            if self.running == 1:
                cap = min(self.slots, self.ramp.cap(now))
        else:
            self.shared_refusal = "slots"
            if self.running < self.slots:
                self.retry_at = now + self.ramp.next_change(now)
            return
        if self._shared_retry_at > now:
            self.retry_at = min(self.retry_at, self._shared_retry_at)
        for lane in self.lanes.values():
            if lane.waiting and lane.retry_at > now:
                self.retry_at = min(self.retry_at, lane.retry_at)

    def recheck(self) -> None:
        """The client-wide limit may have room again: tokens were settled or the limit was raised."""
        self._shared_retry_at = 0.0

    def _next(self, now: float) -> Task | None:
        """The task whose turn it is and that its lane admits; None when nothing may start."""
        best = self._held(now)
        if best is None:
            best = self._by_turn(now)
        if best is None:
            return None
        lane = best.lane
        assert lane is not None
        if not lane.exempt:
            wait = self.bucket.check(best.tokens, now)
            if wait > 0.0:
                self.shared_refusal = bound_by(self.bucket, best.tokens, now)
                self._shared_retry_at = now + wait
                return None
        return best

    def _held(self, now: float) -> Task | None:
        """The oldest of the tasks that were refused by their lanes before and may start now."""
        best: Task | None = None
        for lane in self.lanes.values():
            holder = lane.holder
            if holder is None or lane.retry_at > now:
                continue
            wait = lane.check(holder, self._tokens(holder, lane), now)
            if wait > 0.0:
                lane.retry_at = now + wait
            elif best is None or holder.number < best.number:
                best = holder
        return best

    def _by_turn(self, now: float) -> Task | None:
        if not any(lane.waiting and lane.holder is None and lane.retry_at <= now for lane in self.lanes.values()):
            return None
        turns = self.turns
        for _ in range(len(turns)):
            call = turns[0]
            best = self._head_of(call, now)
            if best is not None:
                return best
            if call.ready:
                turns.rotate(-1)
            else:
                turns.popleft()
        return None

    def _head_of(self, call: Call, now: float) -> Task | None:
        """The oldest head of this call that its lane admits. A lane that refuses keeps the head as its holder."""
        best: Task | None = None
        for lane in list(call.ready):
            if lane.retry_at > now or lane.holder is not None:
                continue
            head = _head(call, lane)
            if head is None:
                continue
            wait = lane.check(head, self._tokens(head, lane), now)
            if wait > 0.0:
                lane.holder, lane.retry_at = head, now + wait
            elif best is None or head.number < best.number:
                best = head
        return best

    def _fly(self, task: Task, now: float) -> None:
        lane, call = task.lane, task.call
        assert lane is not None
        if lane.holder is task:
            lane.holder = None
        self._leave_queue(task, lane)
        if call.ready and self.turns[0] is call:
            self.turns.rotate(-1)
        tokens = task.tokens  # as its lane was asked for just now
        if self.running == 0:
            self.ramp.began(now)
        own = lane.take(tokens, now)
        shared = None if lane.exempt else self.bucket.take(tokens, now)
        self._launch(Flight(task, lane, self._switch(now + call.request_timeout), own, shared, tokens, now, False), now)

    def _leave_queue(self, task: Task, lane: Lane) -> None:
        call = task.call
        heap = call.ready[lane]
        if heap[0][1] is task:
            heappop(heap)
        if not heap:
            del call.ready[lane]
            if not call.ready:
                self.turns.remove(call)
        lane.waiting -= 1
        self.waiting -= 1

    def _fly_poll(self, task: Task, now: float) -> None:
        """A poll takes a slot and no quota; it carries the reservations of the flight that started the job."""
        first, lane = task.flight, task.lane
        if task.state == ENDED:
            return
        assert first is not None and lane is not None
        lane.running += 1
        switch = self._switch(now + task.call.request_timeout)
        self._launch(Flight(task, lane, switch, first.own, first.shared, first.tokens, now, True), now)

    def _launch(self, flight: Flight, now: float) -> None:
        task = flight.task
        self.running += 1
        self.flights.add(flight)
        task.flight = flight
        task.state = RUNNING
        if not task.first_at:
            task.first_at = now
        if task.cooled_at:
            task.limited_for += now - task.cooled_at
            task.cooled_at = 0.0
        deadline = flight.switch.deadline
        if deadline < self.deadline_at:
            self.deadline_at = deadline
        self.starts.append(flight)

    @staticmethod
    def _tokens(task: Task, lane: Lane) -> int:
        task.tokens = lane.estimator.estimate(task.size, task.template_for(task.model).params.max_new_tokens)
        return task.tokens


def _head(call: Call, lane: Lane) -> Task | None:
    """The first task of the heap that still waits there."""
    heap = call.ready[lane]
    while heap:
        task = heap[0][1]
        if task.state == QUEUED and task.lane is lane:
            return task
        heappop(heap)
    del call.ready[lane]
    return None
