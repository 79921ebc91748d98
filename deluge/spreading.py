"""A pool whose shares follow what its models can take: prompts go to whichever lane answers them soonest. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deluge.lanes import NEVER, Lane
from deluge.routing import Routing
from deluge.tasks import QUEUED, Task

CLEARLY = 0.9  # another lane has to be so much sooner before a prompt is left to it
SLOWEST = 2.5  # the slowest answer of many takes so much longer than most: it is the last one that a run waits for


class Spreading(Routing):
    """Routing for ``model_weights="dynamic"``.

    A prompt is queued where the wait is shortest, and that is no promise: a lane that could start something and has
    nothing to start takes what waits longest in another one, and near the end a slow lane leaves its last prompts to
    one that will have answered them earlier. A prompt with a model of its own stays there.
    """

    def __init__(self, *arguments: Any, **admission: Any) -> None:
        super().__init__(*arguments, **admission)
        self._asked_again_at = NEVER
        self._moved: set[int] = set()  # in this round: twice would be for ever, where two lanes pass a prompt to each other

    def _pick(self, task: Task) -> str:
        if task.template is not None or not task.call.router.dynamic or task.prefer in task.call.templates:
            return super()._pick(task)
        lanes = list(self._open_lanes(task, now=task.created_at))
        if not lanes:
            return super()._pick(task)
        return min(lanes, key=lambda pair: pair[1].ready_in(task.created_at) + _latency(task, pair[1]))[0]

    def fill(self, now: float) -> None:
        """Starts whatever may start now, and asks again when an idle lane could take something over."""
        self._asked_again_at = NEVER
        self._moved.clear()
        super().fill(now)
        if self.waiting and self._first is None:
            self.retry_at = min(self.retry_at, self._asked_again_at)

    def _next(self, now: float) -> Task | None:
        while True:
            task = super()._next(now)
            if task is None:
                if self._first is not None or not self._take_over(now):
                    return None
            elif not self._leave(task, now):
                return task

    def soonest(self, models: Mapping[str, str], now: float) -> list[str]:
        """The names of those models (their ids by name) that a prompt would wait least for, whatever the key."""
        waits = {}
        for name, model in models.items():
            lanes = [lane for (id, _), lane in self.lanes.items() if id == model]
            waits[name] = min([NEVER if self._shut(lane, now) else lane.ready_in(now) for lane in lanes], default=0.0)
        return [name for name, wait in waits.items() if wait <= min(waits.values())]

    def _open_lanes(self, task: Task, now: float) -> Iterator[tuple[str, Lane]]:
        """The lanes of the call's weighted models that are not shut, by the name that the model has in the pool."""
        before = task.model
        for name, share in zip(task.call.router.names, task.call.router.shares):
            if share > 0.0:
                task.model = name
                lane = self.lane_of(task, now)
                if not self._shut(lane, now):
                    yield name, lane
        task.model = before

    def _take_over(self, now: float) -> bool:
        """Gives an idle lane the oldest prompt of the lane where prompts wait longest; whether it found one."""
        if len(self.lanes) < 2:
            return False
        for victim in sorted(self.lanes.values(), key=lambda lane: -lane.ready_in(now)):
            task = (victim.holder or victim.next()) if victim.waiting else None
            if task is None or not self._movable(task):
                continue
            tried = {attempt.model for attempt in task.attempts}
            for name, lane in list(self._open_lanes(task, now)):
                if lane is victim or lane.waiting or name in tried:
                    continue
                if not task.call.more and _slowest(lane, now) > victim.ready_in(now) + _slowest(victim, now):
                    continue
                wait = lane.would_wait(task, name, now)
                if wait <= 0.0:
                    self._move(task, name, now)
                    return True
                self._asked_again_at = min(self._asked_again_at, now + wait)
        return False

    def _leave(self, task: Task, now: float) -> bool:
        """Moves a prompt that could start here to a lane that will have answered it clearly earlier."""
        here = task.lane
        if task.call.more or here is None or not self._movable(task):
            return False
        tried = {attempt.model for attempt in task.attempts}
        others = [(lane.ready_in(now) + _slowest(lane, now), name) for name, lane in list(self._open_lanes(task, now))
                  if lane is not here and lane.latency and name not in tried]
        best = min(others, default=(NEVER, ""))
        if best[0] >= CLEARLY * _slowest(here, now):
            return False
        self._move(task, best[1], now)
        return True

    def _movable(self, task: Task) -> bool:
        call = task.call
        dynamic = call.router.dynamic and task.template is None and task.prefer not in call.templates
        return dynamic and task.number not in self._moved

    def _move(self, task: Task, name: str, now: float) -> None:
        self._moved.add(task.number)
        self.forget(task)
        task.model, task.state = name, QUEUED
        self.enqueue(task, self.lane_of(task, now))


def _slowest(lane: Lane, now: float) -> float:
    """About how long the last answers of a run take; before the first one, what has passed without it."""
    return SLOWEST * (lane.latency or lane.waited(now))


def _latency(task: Task, lane: Lane) -> float:
    """How long an answer takes, which matters only when no more prompts follow."""
    return 0.0 if task.call.more else lane.latency
