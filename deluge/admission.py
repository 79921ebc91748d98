"""Who starts next: turns between calls, lanes, slots, and both limits together or not at all. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from random import Random

from deluge.lanes import NEVER, Lane, LaneSettings, Leases, bound_by
from deluge.limits import Adaptation, Bucket, LaneNotice, Mode, QuotaBucket, Ramp
from deluge.models.model import AUTO, Auto, Limit, Limits
from deluge.status import LimitingFactor
from deluge.tasks import ENDED, QUEUED, RUNNING, Call, Flight, Queue, Switch, Task

LaneKey = tuple[str, "str | None"]
MANY = 64  # lanes from which on those that are idle are looked for
SWEEP_EVERY = 10.0  # seconds
NOTE_EVERY = 0.25  # seconds between two looks at what has left meanwhile: a slot of the rolling window


class Admission:
    """The ready tasks and everything that lets them start. One thread at a time may use it.

    FIFO inside a lane and a call, round robin between calls. What a lane refuses keeps its turn there (the lane's
    ``holder``), so that a large prompt is not overtaken for ever; what the client-wide limit refuses (``_first``) is
    overtaken by nobody but lanes for which that limit does not hold. Both are always the oldest of their call's queue.
    """

    def __init__(
        self, *, requests_per_minute: Limit | None, tokens_per_minute: Limit | None, slots: int | Auto,
        switch: Callable[[float], Switch], mode: Mode = "rolling", rng: Random | None = None,
        model_limits: Mapping[str, Limits] | None = None, default_limits: bool = False, bucket: Bucket | None = None,
        rules: Adaptation = Adaptation(), leases: Leases | None = None,
    ) -> None:
        rpm, tpm = promised(requests_per_minute), promised(tokens_per_minute)
        self.bucket: Bucket = bucket or QuotaBucket(rpm, tpm, mode=mode)
        self.rules, self._leases = rules, leases
        self.auto = AUTO in (requests_per_minute, tokens_per_minute)
        self.auto_slots = slots == AUTO
        self.slots = rules.slots_most if isinstance(slots, str) else slots
        self.mode: Mode = mode
        self.rng = rng or Random()
        self.model_limits = dict(model_limits or {})
        self.default_limits = default_limits
        self.ramp = Ramp.of_client()
        self.lanes: dict[LaneKey, Lane] = {}
        self.polls: deque[Task] = deque()
        self.flights: set[Flight] = set()
        self.running = 0
        self.waiting = 0
        self.starts: list[Flight] = []
        self.deadline_at = NEVER
        self.retry_at = NEVER  # when the client-wide limit or a lane should be asked again
        self.shared_refusal: LimitingFactor | None = None
        self._switch = switch
        self.notices: list[LaneNotice] | None = None  # a list where somebody tells other processes of them
        self._heard: dict[LaneKey, LaneNotice] = {}  # of lanes that are not there yet
        self._first: Task | None = None  # what the client-wide limit refused, until when, and why
        self._first_at = 0.0
        self._first_refusal: LimitingFactor = "requests/min"
        self._note_at = 0.0
        self._sweep_at = 0.0
        self._turns = 0  # turns that calls have had so far

    def lane_of(self, task: Task, now: float) -> Lane:
        """The lane of the task's model and key, made when it is first needed."""
        template = task.template_for(task.model)
        key = (template.model.id, template.api_key)
        lane = self.lanes.get(key)
        if lane is None:
            if len(self.lanes) >= MANY and now >= self._sweep_at:
                self._drop_idle(now)
            lane = self.lanes[key] = Lane(
                template.model, template.api_key, self.model_limits.get(template.model.id), self.lane_settings(), self.rng,
                template.own_address,
            )
            heard = self._heard.pop(key, None)
            if heard is not None:
                lane.told(heard, now)
        return lane

    def _drop_idle(self, now: float) -> None:
        """Keys that are renewed make lanes without end: those that nothing hangs on any more go."""
        self._sweep_at = now + SWEEP_EVERY
        if self._leases is None:  # what is shared with other processes is theirs too
            kept = self._lanes_in_use()
            for key, lane in list(self.lanes.items()):
                if lane not in kept and lane.is_over(now):
                    del self.lanes[key]

    def _lanes_in_use(self) -> set[Lane | None]:
        """Lanes of jobs that are polled later, though nothing of them is in flight or queued."""
        return {task.lane for task in self.polls}

    def lane_settings(self) -> LaneSettings:
        """What all lanes have in common at the moment."""
        return LaneSettings(
            (self.bucket.requests_per_minute, self.bucket.tokens_per_minute), self.auto, self.slots, self.auto_slots,
            self.default_limits, self.mode, self.rules, self._leases,
        )

    def told(self, notice: LaneNotice, now: float) -> None:
        """News from another process that uses the same quota."""
        key = (notice.model, notice.api_key)
        lane = self.lanes.get(key)
        if lane is None:
            self._heard[key] = notice
        else:
            lane.told(notice, now)

    def tell(self, lane: Lane, *, cooling: bool = False, limits: Limits | None = None) -> None:
        """News for other processes, if anybody passes them on."""
        if self.notices is not None:
            until = lane.health.cooling_until if cooling else None
            self.notices.append(LaneNotice(lane.model, lane.api_key, until, limits))

    def enqueue(self, task: Task, lane: Lane) -> None:
        """Puts a task, new or retried, into its lane's queue. Its number decides the order."""
        call = task.call
        task.lane, task.state = lane, QUEUED
        queue = call.ready.get(lane)
        if queue is None:
            if not call.ready:
                self._serve(call)  # it begins at the end of the line
            queue = call.ready[lane] = Queue(call)
            lane.join(queue)
        heappush(queue, (task.number, task))
        lane.waiting += 1
        self.waiting += 1
        holder, first = lane.holder, self._first
        if holder is not None and holder.call is call and task.number < holder.number:
            lane.holder, lane.retry_at = task, 0.0  # an older one came back: the turn is its own
        if first is not None and first.lane is lane and first.call is call and task.number < first.number:
            self._first, self._first_at = task, 0.0

    def forget(self, task: Task) -> None:
        """Counts out a queued task that leaves without a start. Its place in the queue is skipped or swept later."""
        lane = task.lane
        if lane is None or task.state != QUEUED:
            return
        lane.waiting -= 1
        self.waiting -= 1
        task.lane = None
        if lane.probe is task:
            lane.probe = None
        if lane.holder is task:
            lane.holder = None
            lane.retry_at = 0.0
        if self._first is task:
            self._first = None
        queue = task.call.ready.get(lane)
        if queue is not None and queue.leave(lane):
            lane.leave(queue)

    def _serve(self, call: Call) -> None:
        self._turns += 1
        call.served = self._turns

    def fill(self, now: float) -> None:
        """Starts whatever may start now; ``starts`` collects the flights."""
        self.retry_at = NEVER
        self.shared_refusal = None
        if not (self.waiting or self.polls):
            return
        if now >= self._note_at:
            self.note_sent(now)
        cap = min(self.slots, self.ramp.cap(now))
        if self.polls:
            self._fly_polls(cap, now)
        while self.waiting and self.running < cap:
            task = self._next(now)
            if task is None:
                self._say_when(now)
                return
            self._fly(task, now)
            if self.running == 1:
                cap = min(self.slots, self.ramp.cap(now))
        if self.waiting:
            self.shared_refusal = "slots"
            if self.running < self.slots:
                self.retry_at = now + self.ramp.next_change(now)

    def _say_when(self, now: float) -> None:
        """What refused the heads, and when to ask again."""
        if self._first is not None:
            self.shared_refusal, self.retry_at = self._first_refusal, self._first_at
        for lane in self.lanes.values():
            if lane.waiting and now < lane.retry_at < self.retry_at:
                self.retry_at = lane.retry_at

    def recheck(self) -> None:
        """The client-wide limit may have room again: tokens were settled or the limit was raised."""
        self._first_at = 0.0

    def leased(self, now: float) -> None:
        """Leases have come in: whatever was refused for want of one asks again."""
        self.recheck()
        for lane in self.lanes.values():
            if lane.waiting and now >= lane.health.cooling_until:
                lane.retry_at = 0.0

    def note_sent(self, now: float) -> None:
        """Counts what is under way from the time when it left: a long reply must not hold its minute open."""
        self._note_at = now + NOTE_EVERY
        for flight in self.flights:
            sent_at = flight.switch.sent_at
            if sent_at:
                if flight.shared is not None:
                    self.bucket.sent(flight.shared, sent_at)
                if flight.own.own:
                    flight.lane.quota.sent(flight.own, sent_at)

    def _next(self, now: float) -> Task | None:
        """The task whose turn it is and that both limits admit; None when nothing may start."""
        while True:
            task = self._turn(now)
            if task is None:
                return None
            if not self._affords(task, now):
                continue
            lane = task.lane
            assert lane is not None
            if lane.exempt:
                return task
            wait = self.bucket.check(lane.shared_tokens(task.tokens), now, lane.shared_requests)
            if wait <= 0.0:
                return task
            self._first_refusal = bound_by(self.bucket, now)
            self._first, self._first_at = task, now + wait

    def _affords(self, task: Task, now: float) -> bool:
        """Whether there is money for this task; one that there is none for has left its queue."""
        return True

    def _turn(self, now: float) -> Task | None:
        """The task whose turn it is and that its lane admits."""
        first = self._first
        if first is None:
            return self._held(now, False) or self._by_turn(now, False)
        if self._first_at > now:
            exempt = any(lane.exempt and lane.waiting for lane in self.lanes.values())
            return (self._held(now, True) or self._by_turn(now, True)) if exempt else None
        lane = first.lane
        assert lane is not None
        self._first = None
        if lane.admits(first, now):
            return first
        return self._turn(now)

    def _held(self, now: float, exempt: bool) -> Task | None:
        """The oldest of the tasks that were refused by their lanes before and may start now."""
        best: Task | None = None
        for lane in self.lanes.values():
            holder = lane.holder
            if holder is None or lane.retry_at > now or (exempt and not lane.exempt):
                continue
            if lane.admits(holder, now) and (best is None or holder.number < best.number):
                best = holder
        return best

    def _by_turn(self, now: float, exempt: bool) -> Task | None:
        """The oldest task of the call whose last turn is longest ago, among those that their lanes admit.

        A lane that refuses keeps the task as its holder.
        """
        while True:
            best: Task | None = None
            for lane in self.lanes.values():
                if not lane.waiting or lane.holder is not None or lane.retry_at > now or (exempt and not lane.exempt):
                    continue
                task = lane.next()
                if task is not None and (best is None or _before(task, best)):
                    best = task
            if best is None or best.lane is None or best.lane.admits(best, now):
                return best

    def _fly(self, task: Task, now: float) -> None:
        lane, call, tokens = task.lane, task.call, task.tokens
        assert lane is not None
        if lane.holder is task:
            lane.holder = None
        if self._first is task:
            self._first = None
        queue = call.ready[lane]
        heappop(queue)
        lane.waiting -= 1
        self.waiting -= 1
        if not queue or (queue.left and queue.head(lane) is None):
            lane.leave(queue)
        self._serve(call)
        if self.running == 0:
            self.ramp.began(now)
        own = lane.take(task, now)
        shared = None
        if not lane.exempt:
            shared = self.bucket.take(lane.shared_tokens(tokens), now, lane.shared_requests)
        switch = own.departure = self._switch(now + call.request_timeout)
        switch.fresh = task.resent
        self._launch(Flight(task, lane, switch, own, shared, tokens, now, False), now)

    def _fly_polls(self, cap: int, now: float) -> None:
        """Polls go before new starts, each as soon as there is a slot for it, in its lane too."""
        polls = self.polls
        for _ in range(len(polls)):
            if self.running >= cap:
                return
            task = polls.popleft()
            lane = task.lane
            if task.state == ENDED or lane is None:
                continue
            if lane.slots is not None and lane.running >= lane.slots:
                polls.append(task)
            else:
                self._fly_poll(task, lane, now)

    def _fly_poll(self, task: Task, lane: Lane, now: float) -> None:
        """A poll takes a slot and no quota; it carries on the flight that started the job, reservations and all."""
        job = task.flight
        assert job is not None
        lane.running += 1
        switch = self._switch(now + task.call.request_timeout)
        self._launch(Flight(task, lane, switch, job.own, job.shared, job.tokens, job.started_at, True), now)

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


def _before(task: Task, other: Task) -> bool:
    """Whether it is this task's turn rather than the other's, of another lane."""
    return (task.call.served, task.number) < (other.call.served, other.number)


def promised(limit: Limit | None) -> float | None:
    """The number of a limit that is kept whatever the provider says; None where there is none."""
    return None if isinstance(limit, str) else limit
