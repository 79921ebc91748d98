"""The thread that runs everything users can see: caches, hooks, logs, and the resolving of handles. One at a time."""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Union

from deluge._log import Folder, event
from deluge._log import logger as logger_of
from deluge.journal.recorder import NEVER, Recorder
from deluge.lookup import say_failed
from deluge.response import APIResponse
from deluge.tasks import Call, Task

logger = logger_of("courier")
_retries = logger_of("retry")

Pairs = list[tuple[Task, APIResponse]]
Message = tuple[str, str, dict[str, Any]]
_Job = Union[Pairs, Callable[[], None], None]

MOST = 256  # deliveries whose records go out in one write
HOLD = 0.05  # seconds that a response waits, at most, for others to be written with
CROWD = 2  # deliveries in one go from which there is load
BREATH = 0.0005  # seconds
LONG_BREATH = 0.003  # where one call has many more prompts under way, so that nobody waits for just the next answer
MANY = 32  # prompts under way

_LOOK = 0.05  # seconds between looks at whether the courier still runs
SLICE = 0.2  # seconds: a signal that comes right before a thread begins to wait is seen only when the wait ends

_here = threading.local()
_folder: Folder[Message] = Folder()


def renew_couriers() -> None:
    """In a forked child: no courier runs here yet, whatever thread it was that forked."""
    global _here
    _here = threading.local()


def on_courier() -> bool:
    """Whether this is the courier's thread: whoever waits here would wait for himself."""
    return getattr(_here, "yes", False)


def wait_in_slices(condition: threading.Condition, true: Callable[[], bool], timeout: float | None) -> bool:
    """``Condition.wait_for``, but Ctrl-C always ends it soon. Called with the condition's lock."""
    end = None if timeout is None else time.monotonic() + timeout
    while not true():
        left = SLICE if end is None else min(SLICE, end - time.monotonic())
        if left <= 0.0:
            return False
        condition.wait(left)
    return True


class Courier:
    """Delivers in the order of ``put``. Its queue is fed under the engine's lock."""

    __slots__ = ("_jobs", "_thread")

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=_run, args=(self._jobs,), name="deluge-courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after what has been put."""
        self._jobs.put(None)

    def settle(self, timeout: float | None) -> bool:
        """Waits until all that has been put is delivered; False when that takes longer than ``timeout`` seconds."""
        thread, end = self._thread, None if timeout is None else time.monotonic() + timeout
        done = threading.Event()
        self._jobs.put(done.set)
        while thread is not None and thread.is_alive():  # one that was stopped never comes to this job
            left = _LOOK if end is None else min(_LOOK, end - time.monotonic())
            if done.wait(max(0.0, left)):
                return True
            if end is not None and time.monotonic() >= end:
                return False
        return True

    def put(self, pairs: Pairs) -> None:
        """Final responses."""
        self._jobs.put(pairs)

    def put_late(self, pairs: Pairs) -> None:
        """Answers to tasks that had ended: they are kept, not delivered."""
        self._jobs.put(lambda: _keep_late(pairs))

    def put_job(self, job: Callable[[], None]) -> None:
        """Something else that users can see, in its turn."""
        self._jobs.put(job)

    def put_messages(self, messages: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
        """Lines for the log."""
        self._jobs.put(lambda: _log(messages))


def _run(jobs: queue.SimpleQueue[_Job]) -> None:
    _here.yes = True
    _here.unsynced = set()
    emptied_at = 0.0
    while True:
        job = _next(jobs)
        while True:
            count, call = _empty(jobs, job)
            del job
            if count == 0:
                _say(_folder.flush())
                return
            now = time.monotonic()
            pause = breath(count, call, now - emptied_at)
            emptied_at = now
            del call
            if pause == 0.0:
                break
            time.sleep(pause)
            if jobs.empty():
                break
            job = jobs.get()


def _empty(jobs: queue.SimpleQueue[_Job], job: _Job) -> tuple[int, Call | None]:
    """Does this job and all that stand behind it: how many there were, and the call of the last response.

    Zero after the last job of all. The records of responses that stand together go out in one write.
    """
    pairs: Pairs = []
    count = 0
    while True:
        count += 1
        if isinstance(job, list):
            pairs.extend(job)
            if len(pairs) < MOST and not jobs.empty():
                job = jobs.get()
                continue
        call = pairs[-1][0].call if pairs else None
        _deliver(pairs)
        pairs = []
        if job is None:
            return 0, None
        if not isinstance(job, list):
            _attend(job)
        if jobs.empty():
            return count, call
        job = jobs.get()


def breath(count: int, call: Call | None, seconds: float) -> float:
    """How long to let responses gather, after so many jobs in so many seconds; 0.0 where nobody is in sight.

    Each wake-up of this thread costs more than a delivery, and each write as much as a record. Where a call still has
    many prompts under way, nobody waits for just the next one.
    """
    many = call is not None and len(call.unfinished) >= MANY
    pause = LONG_BREATH if many else BREATH
    return pause if count >= CROWD or many and count * pause >= CROWD * seconds else 0.0


def _next(jobs: queue.SimpleQueue[_Job]) -> _Job:
    """The next job. While it waits for one, it brings to the disk what journals have written."""
    unsynced: set[Recorder] = _here.unsynced
    while unsynced:
        now = time.monotonic()
        for journal in [journal for journal in unsynced if journal.sync_at <= now or journal.sync_at == NEVER]:
            journal.sync()
            unsynced.discard(journal)
        if unsynced:
            try:
                return jobs.get(timeout=max(0.001, min(journal.sync_at for journal in unsynced) - now))
            except queue.Empty:
                continue
    return jobs.get()


def _attend(job: Callable[[], None]) -> None:
    try:
        job()
    except BaseException as error:  # sys.exit() in what is the user's must not end the thread that all wait for
        logger.error("the courier failed", exc_info=error)


def _deliver(pairs: Pairs) -> None:
    """Hooks, then journals, then whoever waits: nobody sees a response whose record is not written."""
    held: Pairs = []
    held_since = 0.0
    for task, response in pairs:
        call = task.call
        if response.source == "dedupe" and call.reader is not None:
            response.parsed = call.reader.reading(response).value  # an object of its own for everybody
        if call.cache is not None or call.postprocess is not None:
            response = _through_hooks(task, response)
        if call.journal is None:
            _hand_out(task, response)
            continue
        held.append((task, response))
        if call.postprocess is not None:  # a slow hook holds nobody else's response back
            now = time.monotonic()
            held_since = held_since or now
            if now - held_since >= HOLD:
                _record_and_hand_out(held)
                held, held_since = [], 0.0
    if held:
        _record_and_hand_out(held)


def _record_and_hand_out(pairs: Pairs) -> None:
    _record(pairs)
    for task, response in pairs:
        _hand_out(task, response)


def _record(pairs: Pairs) -> None:
    """Writes records; one write for each journal."""
    journals = {task.call.journal for task, _ in pairs}
    for journal in journals:
        if journal is not None:
            journal.keep(pairs if len(journals) == 1 else [pair for pair in pairs if pair[0].call.journal is journal])
            if journal.sync_at < NEVER:
                _here.unsynced.add(journal)


def _hand_out(task: Task, response: APIResponse) -> None:
    try:
        task.call.receiver.take(task, response)
    except BaseException as error:  # a callback of a handle may raise anything
        logger.error("a delivery failed", exc_info=error, extra={"deluge": {"task": task.id}})


def _through_hooks(task: Task, response: APIResponse) -> APIResponse:
    """cache.put (the raw answer), then postprocess. A hook that raises costs its own prompt its good name, not its answer.

    A cache that fails costs nothing but a line in the log.
    """
    call = task.call
    if call.cache is not None and response.source in ("api", "batch"):
        keep(task, response)
    try:
        if call.postprocess is not None and response.source != "journal" and not task.as_delivered:
            response = changed_by(functools.partial(_in_context, call, call.postprocess), response)
    except BaseException as error:
        blame(response, error)
    return response


def changed_by(hook: Callable[[APIResponse], Any], response: APIResponse) -> APIResponse:
    """What the hook makes of a response; ``TypeError`` when that is no response."""
    changed = hook(response)
    if changed is None:
        return response
    if not isinstance(changed, APIResponse):
        raise TypeError(f"postprocess returned {type(changed).__name__}, not an APIResponse or None")
    return changed


def blame(response: APIResponse, error: BaseException) -> None:
    """The response becomes an error that says which exception a hook of the user's raised; it keeps its answer."""
    response.is_error, response.error_kind = True, "postprocess"
    response.error_message = f"{type(error).__name__}: {error}"
    logger.warning("a hook raised %s", type(error).__name__, exc_info=error, extra={"deluge": {"task": response.id}})


def keep(task: Task, response: APIResponse) -> None:
    """Puts an answer into the call's response cache."""
    call = task.call
    worth = not response.is_error and (response.completion or response.tool_calls)
    if worth and call.cache is not None and task.key is not None:
        prompt = task.prompt.keyed(task.key)
        try:
            _in_context(call, call.cache.put, prompt, response.replaced())  # hooks may change the one that is delivered
        except BaseException as error:
            say_failed(logger, call, error)


def _keep_late(pairs: Pairs) -> None:
    for task, response in pairs:
        if task.call.cache is not None:
            keep(task, response)
    _record(pairs)


def _in_context(call: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments) if call.context is None else call.context.run(function, *arguments)


def _log(messages: Iterable[Message]) -> None:
    now = time.monotonic()
    for message in messages:
        level, text, values = message
        if level == "DEBUG":
            _say([(message, 1)])
        else:
            _say(_folder.add((text, values.get("model"), values.get("kind")), message, now))


def _say(messages: Iterable[tuple[Message, int]]) -> None:
    for (level, text, values), count in messages:
        event(_retries, getattr(logging, level), text, **values, repeated=count if count > 1 else None)
