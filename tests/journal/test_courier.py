"""The courier: what stands together goes out in one write, and nobody waits for others who are not in sight."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import client_of

from deluge import APIResponse, Message
from deluge.courier import BREATH, CROWD, LONG_BREATH, MANY, Courier, breath
from deluge.journal import Recorder
from deluge.plan import Plan
from deluge.tasks import Task
from deluge.testing import RehearsalServer


class Batches(Recorder):
    """Keeps the sizes of what is written, in their order."""

    def __init__(self) -> None:
        super().__init__("nowhere")
        self.sizes: list[int] = []

    def _append(self, kept: list[Any], lines: list[bytes]) -> None:
        self.sizes.append(len(lines))


class Gate:
    """A receiver whose first delivery waits; it notes how many records there were at each delivery."""

    def __init__(self, recorder: Batches) -> None:
        self.recorder = recorder
        self.entered, self.opened = threading.Event(), threading.Event()
        self.seen: list[tuple[int, int]] = []

    def take(self, task: Task, response: APIResponse) -> None:
        self.seen.append((task.index, sum(self.recorder.sizes)))
        self.entered.set()
        assert self.opened.wait(10)


@pytest.fixture
def plan(rehearsal: RehearsalServer) -> Iterator[Plan]:
    with client_of(rehearsal) as client:
        yield client._plan({}, None)


def pair(plan: Plan, index: int) -> tuple[Task, APIResponse]:
    return plan.task(index, f"p{index}"), APIResponse(content=Message.ai("yes"), finish_reason="stop")


def test_records_that_stand_together_go_out_in_one_write_before_anybody_sees_them(plan: Plan) -> None:
    recorder = Batches()
    gate = Gate(recorder)
    plan.call.journal, plan.call.receiver = recorder, gate
    done: list[int] = []
    courier = Courier()
    courier.start()
    courier.put([pair(plan, 0)])
    assert gate.entered.wait(10)
    for index in range(1, 6):
        courier.put([pair(plan, index)])
    courier.put_job(lambda: done.append(len(gate.seen)))
    courier.put([pair(plan, 6), pair(plan, 7)])
    gate.opened.set()
    assert courier.settle(10)
    courier.stop()
    assert recorder.sizes == [1, 5, 2], "one write for each batch"
    assert [index for index, _ in gate.seen] == list(range(8)), "in their order"
    assert done == [6], "another job comes in its turn"
    assert [written for _, written in gate.seen] == [1, 6, 6, 6, 6, 6, 8, 8], "nobody sees what is not written"


def test_a_breath_is_taken_only_where_more_is_in_sight(plan: Plan) -> None:
    call = plan.call
    soon, late = LONG_BREATH / CROWD, 10 * LONG_BREATH
    assert breath(1, None, 0.0) == breath(1, call, soon) == 0.0, "one answer after the other is not held up"
    assert breath(CROWD, call, late) == BREATH, "several at once are load"
    call.unfinished.update(plan.task(index, "x") for index in range(MANY))
    assert breath(1, call, soon) == breath(CROWD, call, late) == LONG_BREATH
    assert breath(1, call, late) == 0.0, "too seldom to be worth another wake-up"
    call.unfinished.clear()
