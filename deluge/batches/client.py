"""A client's batch jobs: submitted, waited for, looked at, cancelled; and ``process_prompts`` at the price of a batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, overload

from typing_extensions import Unpack

from deluge.asking import Asking
from deluge.batches.job import BatchJob, BatchStatus
from deluge.batches.overview import cancelled, status_of
from deluge.batches.state import JobState, load_state, new_state
from deluge.batches.work import BatchWork, JobPath, Waiting
from deluge.calls import ResultList, refuse_on_courier
from deluge.config import ClientConfig
from deluge.errors import ConfigError, Interrupted
from deluge.journal import Recorder
from deluge.journaling import without_journal
from deluge.options import CallOptions
from deluge.prompt.coerce import as_prompts
from deluge.response import APIResponse
from deluge.waiting import in_thread


class Batches(Asking):
    """The batch jobs of a client. ``LLMClient`` brings the settings, and the life of what the attributes hold."""

    _config: ClientConfig

    def submit_batch_job(
        self, prompts: Any, *, state: JobPath | None = None, batch_size: int | None = None, **options: Unpack[CallOptions]
    ) -> BatchJob:
        """A job at the provider, which survives this process: it may take a day, at about half the price.

        ``state``: the file that stands for the job (a new one in the working directory without it), beside which the prompts
        are kept in ``state + ".prompts"``. When the file is there already, the same prompts go on with the job that it
        tells of, so that calling again after a crash buys nothing twice. ``batch_size``: prompts in one of the provider's
        batches, at most; its own limits hold anyway. ``BatchError`` when the provider refuses.
        ``max_cost``: from the first prompt on that could cross it none is sent (``job.over_budget``): they are errors of
        kind ``budget`` in the responses, and the same call with more money sends them. ``BudgetExceededError``: none fits.
        """
        refuse_on_courier()
        without_journal(options)
        with self._held(self._state_at(state)) as (job, fresh):
            work = BatchWork(self._engine, job, self._plan(options, ResultList()))
            try:
                work.prepare_all(as_prompts(prompts), fresh, _checked_size(batch_size))
                work.submit()
            except KeyboardInterrupt:
                if not os.path.exists(job.path):
                    raise
                raise Interrupted(f"interrupted; the same call with state={job.path!r} goes on with this job") from None
            finally:
                work.close()
        return BatchJob(job, work.plan.call.reader, work.purse.refused)

    def wait_for_batch_job(
        self, job: JobPath, *, timeout: float | None = None, poll_in: float | None = None, resubmit: bool = False,
        output_schema: Any = None, journal: str | os.PathLike[str] | Recorder | None = None, show_progress: bool = True,
    ) -> list[APIResponse]:
        """Responses in input order, one per prompt, errors included, once the job has ended. Blocks.

        ``job``: what ``submit_batch_job`` gave, or its state file. ``timeout`` seconds: ``BatchTimeoutError`` when it takes
        longer; the job goes on. ``poll_in``: seconds between two looks (else growing from 1 to 60). ``resubmit``: what has
        expired, was cancelled or failed for a passing reason is asked again in a new batch, once.
        ``output_schema``: the type for ``response.parsed``; the schema itself is known. Ctrl-C leaves the job running.
        """
        refuse_on_courier()
        state = load_state(os.fspath(job))
        schema = output_schema if output_schema is not None else getattr(job, "_reader", None) or state.options.get("schema")
        given: dict[str, Any] = {"timeout": timeout, "output_schema": schema, "journal": journal}
        results = ResultList()
        waiting = Waiting(_checked_pause(poll_in), resubmit)
        with self._held(state) as (state, _):
            leave = self._showing.join(state.total, self._config.progress if show_progress else None)
            work = BatchWork.of_job(self._engine, self._config, state, given, results, self._cache_lock, self._warned)
            self._calls.add(work.plan.call)
            try:
                return work.collect(waiting, self._again(state))
            except KeyboardInterrupt:
                raise Interrupted(f"interrupted; the job goes on: {self._again(state)}", results.results) from None
            finally:
                work.close()
                leave()

    def batch_status(self, job: JobPath) -> BatchStatus:
        """How far a job has come, asked of the provider now."""
        return status_of(self._work(load_state(os.fspath(job))))

    def cancel_batch_job(self, job: JobPath) -> BatchStatus:
        """Ends a job: what was answered by then can be fetched, the rest comes back as errors of kind ``cancelled``."""
        state = load_state(os.fspath(job))
        try:
            hold = state.hold()
        except ConfigError:  # somebody waits for it, and will see that it is over
            return cancelled(self._work(state), mine=False)
        try:
            return cancelled(self._work(load_state(os.fspath(job))), mine=True)
        finally:
            hold.release()

    @overload
    def process_prompts(
        self, prompts: Any, *, return_completions_only: Literal[False] = False, show_progress: bool = True,
        mode: Literal["batch"] | None = None, state: JobPath | None = None, poll_in: float | None = None,
        resubmit: bool = False, batch_size: int | None = None, **options: Unpack[CallOptions],
    ) -> list[APIResponse]: ...

    @overload
    def process_prompts(
        self, prompts: Any, *, return_completions_only: Literal[True], show_progress: bool = True,
        mode: Literal["batch"] | None = None, state: JobPath | None = None, poll_in: float | None = None,
        resubmit: bool = False, batch_size: int | None = None, **options: Unpack[CallOptions],
    ) -> list[str | None]: ...

    def process_prompts(
        self, prompts: Any, *, return_completions_only: bool = False, show_progress: bool = True,
        mode: Literal["batch"] | None = None, state: JobPath | None = None, poll_in: float | None = None,
        resubmit: bool = False, batch_size: int | None = None, **options: Unpack[CallOptions],
    ) -> list[APIResponse] | list[str | None]:
        """Responses in input order, one per prompt, errors included; or their texts (None for an error).

        Any iterable counts as many prompts; one str, Message, Conversation or list of message dicts counts as one. Blocks.
        ``timeout=`` seconds: what is not answered by then comes back as errors of kind ``cancelled``. Ctrl-C raises
        ``Interrupted`` with what is finished.
        ``mode="batch"``: through a provider batch job, which may take a day, at about half the price; ``state``, ``poll_in``,
        ``resubmit`` and ``batch_size`` are those of ``submit_batch_job`` and ``wait_for_batch_job``. The same call goes on
        with the job that its ``state`` tells of (with a ``journal`` it is the journal's path and ``.batch.json``).
        """
        if mode is None:
            if state is not None or poll_in is not None or resubmit or batch_size is not None:
                raise ConfigError("state, poll_in, resubmit and batch_size are for mode='batch'")
            live: Any = super().process_prompts
            responses: list[APIResponse] | list[str | None] = live(
                prompts, return_completions_only=return_completions_only, show_progress=show_progress, **options)
            return responses
        if mode != "batch":
            raise ConfigError(f"mode is 'batch' or None, not {mode!r}")
        refuse_on_courier()
        items = as_prompts(prompts)
        waiting = Waiting(_checked_pause(poll_in), resubmit, _checked_size(batch_size))
        leave = self._showing.join(_length(items), self._config.progress if show_progress else None)
        try:
            batched = self._in_batch(items, options, state, waiting)
        finally:
            leave()
        if return_completions_only:
            return [None if response.is_error else response.completion for response in batched]
        return batched

    process_prompts_sync = process_prompts

    async def process_prompts_async(
        self, prompts: Any, *, return_completions_only: bool = False, show_progress: bool = True,
        mode: Literal["batch"] | None = None, state: JobPath | None = None, poll_in: float | None = None,
        resubmit: bool = False, batch_size: int | None = None, **options: Unpack[CallOptions],
    ) -> list[APIResponse] | list[str | None]:
        """The same for the one async view: awaits, in any event loop. Cancelling the coroutine cancels its prompts."""
        if mode is None and state is None and poll_in is None and not resubmit and batch_size is None:
            return await super().process_prompts_async(
                prompts, return_completions_only=return_completions_only, show_progress=show_progress, **options)

        blocking: Any = partial(
            self.process_prompts, prompts, return_completions_only=return_completions_only, show_progress=show_progress,
            mode=mode, state=state, poll_in=poll_in, resubmit=resubmit, batch_size=batch_size, **options)
        made: list[APIResponse] | list[str | None] = await in_thread(blocking)
        return made

    def _in_batch(
        self, items: Iterable[Any], options: CallOptions, path: JobPath | None, waiting: Waiting
    ) -> list[APIResponse]:
        self._check_open()
        if _length(items) == 0:
            return []
        results = ResultList()
        state = self._state_at(path if path is not None else _beside(options.get("journal")))
        with self._held(state) as (job, fresh):
            work = BatchWork(self._engine, job, self._plan(options, results))
            again = "the same call waits for it on" if path is not None or options.get("journal") else self._again(job)
            try:
                responses = work.process(items, fresh, waiting, again)
            except KeyboardInterrupt:
                words = f"interrupted; the job goes on: {again}" if work.submitted else "interrupted"
                raise Interrupted(words, results.results) from None
            finally:
                work.close()
            if path is None and work.finished:
                job.remove()
        return responses

    def _state_at(self, path: JobPath | None) -> JobState:
        """The state of the job that a file tells of, or a new one's."""
        name = None if path is None else os.fspath(path)
        return load_state(name) if name is not None and os.path.exists(name) else new_state(name)

    @contextmanager
    def _held(self, state: JobState) -> Iterator[tuple[JobState, bool]]:
        """A job's state, which nobody else has meanwhile, and whether it is a new one's.

        It is read again under the lock: whoever held it until now may have brought the job further, or begun it.
        """
        self._check_open()
        hold = state.hold()
        try:
            there = os.path.exists(state.path)
            yield load_state(state.path) if there else state, not there
        finally:
            hold.release()

    def _work(self, state: JobState) -> BatchWork:
        self._check_open()
        return BatchWork.of_job(self._engine, self._config, state, {}, ResultList(), self._cache_lock, self._warned)

    def _again(self, state: JobState) -> str:
        return f"wait_for_batch_job({state.path!r}), or: deluge batch fetch {state.path} -o OUT"


def _beside(journal: Any) -> str | None:
    """The state file of a call with this journal."""
    path = journal.path if isinstance(journal, Recorder) else journal
    return None if path is None or path == "-" else f"{os.fspath(path)}.batch.json"


def _checked_size(size: int | None) -> int | None:
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ConfigError(f"batch_size is a number of prompts from 1 on, not {size!r}")
    return size


def _checked_pause(seconds: float | None) -> float | None:
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0):
        raise ConfigError(f"poll_in is a number of seconds above 0, not {seconds!r}")
    return seconds


def _length(items: Any) -> int | None:
    try:
        return len(items)
    except TypeError:
        return None
