"""One piece of work on one job: prompts written down, batches created, answers collected."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union, cast

from deluge import _log
from deluge.batches.collecting import Collecting
from deluge.batches.desks import Desks, pool_of_job
from deluge.batches.lines import Lines
from deluge.batches.money import Purse
from deluge.batches.preparing import Known, Preparation
from deluge.batches.reading import Reading
from deluge.batches.state import JobState
from deluge.batches.submission import Submission
from deluge.calls import Feed, ResultList
from deluge.config import ClientConfig, make_pool
from deluge.engine import Engine
from deluge.errors import BatchError, BatchTimeoutError, BudgetExceededError, ConfigError
from deluge.journal import Recorder
from deluge.options import CallOptions
from deluge.plan import Plan
from deluge.response import APIResponse
from deluge.router import Router

JobPath = Union[str, "os.PathLike[str]"]
_said = _log.logger("batches")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a job is waited for."""

    poll_in: float | None = None
    resubmit: bool = False
    batch_size: int | None = None


class BatchWork:
    """What is done with a job while its lock is held. ``plan`` is the call whose responses come of it."""

    def __init__(self, engine: Engine, state: JobState, plan: Plan) -> None:
        self.state = state
        self.plan = plan
        self.submitted = False  # something may be at the provider
        self.finished = False  # all answers were handed over
        self._engine = engine
        self._opened: Lines | None = None
        self._desks: Desks | None = None
        self.purse = Purse(engine, plan.call, state.id, plan.call.unknown_cost)

    @classmethod
    def of_job(
        cls, engine: Engine, config: ClientConfig, state: JobState, options: Mapping[str, Any], results: ResultList,
        cache_lock: Any, warned: set[Any],
    ) -> BatchWork:
        """The work on a job that is known by its state alone: its models, parameters and schema are in there."""
        made = cls(engine, state, _plan_of_job(engine, config, state, options, results, cache_lock, warned))
        made.purse = Purse(engine, made.plan.call, state.id, _unknown_cost(state, config))
        return made

    def prepare_all(self, items: Iterable[Any], fresh: bool, most: int | None) -> None:
        """Writes down every prompt; of a job that is there already, checks that they are the same."""
        state = self.state
        known = self._known(fresh)
        placed = Recorder(state.path)
        preparation = Preparation(self.plan, state, most, self.purse)
        count = 0
        try:
            for count, prompt in enumerate(items, 1):
                task = self.plan.task(count - 1, prompt)
                placed.place(task)
                if preparation.add(task, known) != count - 1 or (known is not None and count > state.total):
                    raise ConfigError(_others(state))
            if not count:
                raise ConfigError("a batch job needs at least one prompt")
            if known is not None and known.left:
                raise ConfigError(_others(state))
            if not state.parts and self.purse.refused:
                raise BudgetExceededError(self.purse.over)
        except BaseException:
            preparation.give_up()
            raise
        self._end(preparation)

    def _known(self, fresh: bool) -> Known | None:
        return None if fresh else Known(self.lines.all_facts(), self.state.parts)

    def _end(self, preparation: Preparation) -> None:
        self.close()
        if preparation.wrote:
            preparation.close()
        else:
            preparation.leave()

    def submit(self) -> None:
        """Creates the job's batches. ``BatchError`` when the provider refuses."""
        self.submitted = True
        if not self._created():
            _log.event(_said, 30, "the provider cannot tell yet whether a batch was created; waiting for the job finds out",
                       path=self.state.path)

    def _created(self) -> bool:
        try:
            return Submission(self.state, self.lines, self.desks).advance_all()
        except BatchError as error:
            if not error.retry:  # what is not at the provider costs nothing, until somebody goes on with it
                self.purse.give_back(Known(self.lines.all_facts(), self.state.parts).planned)
            raise

    def process(self, items: Iterable[Any], fresh: bool, waiting: Waiting, again: str) -> list[APIResponse]:
        """The responses of these prompts, from journal and cache where they are there, else from the job."""
        own = self.plan.open_journal()
        feed = Feed(self._engine, self.plan.call, (), self.plan.task, owns_journal=own)
        clean = False
        try:
            wanted = self._taken(items, fresh, waiting.batch_size)
            try:
                self._gather(wanted, waiting)
                self.finished = True
            except BatchTimeoutError:
                _log.event(_said, 30, f"the call's time is over; the job goes on: {again}", path=self.state.path)
            clean = True
        finally:
            feed.leave(clean)
        return self._responses(feed)

    def _taken(self, items: Iterable[Any], fresh: bool, most: int | None) -> dict[int, int]:
        """The lines that have to be waited for, with the places of their responses."""
        state, plan, old = self.state, self.plan, self.state.total
        known = self._known(fresh)
        placed = Recorder(state.path)
        preparation = Preparation(plan, state, most, self.purse)
        wanted: dict[int, int] = {}
        try:
            for index, prompt in enumerate(items):
                task = plan.task(index, prompt)
                self._results.results.append(None)
                if plan.call.journal is None:
                    placed.place(task)
                found = plan.recorded(task) or plan.cached(task)
                if found is not None:
                    self._engine.deliver([(task, found)])
                else:
                    wanted[preparation.add(task, known)] = index
            if wanted and old and min(wanted) >= old:
                raise ConfigError(_others(state))
        except BaseException:
            preparation.give_up()
            raise
        self._end(preparation)
        return wanted

    def collect(self, waiting: Waiting, again: str) -> list[APIResponse]:
        """The responses of all prompts of the job, in the order in which they were submitted."""
        state, plan = self.state, self.plan
        own = plan.open_journal(state.key)
        feed = Feed(self._engine, plan.call, (), plan.task, owns_journal=own)
        clean = False
        try:
            self._results.results.extend([None] * state.total)
            wanted = self._unrecorded()
            try:
                self._gather(wanted, waiting)
            except BatchTimeoutError as error:
                raise BatchTimeoutError(f"the job has not ended in time; it goes on: {again}", state=state.path,
                                        kind="timeout", retry=True) from error
            clean = True
        finally:
            feed.leave(clean)
        return self._responses(feed)

    def _unrecorded(self) -> dict[int, int]:
        """The lines whose answers the call's journal does not have; it counts its prompts in their order."""
        if self.plan.call.journal is None:
            return {number: number for number in range(self.state.total)}
        wanted = {}
        reading = self._reading()
        for facts in self.lines.all_facts():
            task = reading.task(facts)
            task.index = facts["n"]
            found = self.plan.recorded(task)
            if found is None:
                wanted[facts["n"]] = facts["n"]
            else:
                self._engine.deliver([(task, found)])
        return wanted

    def _gather(self, wanted: dict[int, int], waiting: Waiting) -> None:
        if not wanted:
            return
        self.submitted = True
        collecting = Collecting(
            self.state, self.lines, self.desks, self._reading(), self.purse, self._engine.deliver, wanted,
            until=self.plan.timeout, poll_in=waiting.poll_in, resubmit=waiting.resubmit,
        )
        try:
            collecting.run()
        except BatchTimeoutError:
            collecting.hand_over_rest()
            raise

    def _reading(self) -> Reading:
        return Reading(self.state, self.lines, self.desks, self.plan.call, lambda: next(self._engine.ids))

    def _responses(self, feed: Feed) -> list[APIResponse]:
        results = self._results
        results.wait(len(results.results))
        feed.check(results.results)
        return [response for response in results.results if response is not None]

    @property
    def _results(self) -> ResultList:
        return cast(ResultList, self.plan.call.receiver)

    @property
    def lines(self) -> Lines:
        """The job's prompts on disk."""
        if self._opened is None:
            self._opened = Lines(self.state)
        return self._opened

    @property
    def desks(self) -> Desks:
        """Where its batches are asked for."""
        if self._desks is None or len(self._desks.counters) < len(self.state.lanes):
            engine, config = self._engine, self.plan.config
            plan = _plan_of_job(engine, config, self.state, {}, ResultList(), None, set())
            self._desks = Desks(self.state, plan)
        return self._desks

    def close(self) -> None:
        """Closes what was opened."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _plan_of_job(
    engine: Engine, config: ClientConfig, state: JobState, options: Mapping[str, Any], results: ResultList,
    cache_lock: Any, warned: set[Any],
) -> Plan:
    pool = pool_of_job(state, config) or make_pool(config)
    router = Router([entry.key for entry in pool], [entry.weight for entry in pool])
    known = {"unknown_cost": _unknown_cost(state, config) or 0.0}  # looking at a job needs no price
    return Plan(engine, config, pool, router, cast(CallOptions, {**options, **known}), results, cache_lock, warned)


def _unknown_cost(state: JobState, config: ClientConfig) -> float | None:
    """What a request of unknown price counts as: as when the job was submitted, else as this client says."""
    told: float | None = state.options.get("unknown_cost")
    return config.unknown_cost if told is None else told


def _others(state: JobState) -> str:
    return (
        f"{state.path} is the state of a job with other prompts or parameters: name another one; or wait for that job first "
        f"(it is given up by removing {state.path} and {state.prompts})"
    )
