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
from deluge.response import APIResponse
from deluge.tasks import Task

logger = logger_of("courier")
_retries = logger_of("retry")

Pairs = list[tuple[Task, APIResponse]]
Message = tuple[str, str, dict[str, Any]]
_Job = Union[Pairs, Callable[[], None], None]

CROWD = 2  # deliveries in one go from which there is load
BREATH = 0.0005  # seconds

_LOOK = 0.05  # seconds between looks at whether the courier still runs
SLICE = 0.2  # seconds: a signal that comes right before a thread begins to wait is seen only when the wait ends

_here = threading.local()
_folder: Folder[Message] = Folder()


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
    while True:
        job = jobs.get()
        count = 0
        while True:
            if job is None:
                _say(_folder.flush())
                return
            _attend(job)
            count += 1
            if jobs.empty():
                if count < CROWD:
                    break
                count = 0
                time.sleep(BREATH)  # under load each wake-up costs more than the delivery: let a few gather
                if jobs.empty():
                    break
            job = jobs.get()
        del job


def _attend(job: Pairs | Callable[[], None]) -> None:
    if isinstance(job, list):
        for task, response in job:
            _deliver(task, response)
        return
    try:
        job()
    except Exception as error:
        logger.error("the courier failed", exc_info=error)


def _deliver(task: Task, response: APIResponse) -> None:
    call = task.call
    try:
        if call.cache is not None or call.postprocess is not None:
            response = _through_hooks(task, response)
        call.receiver.take(task, response)
    except Exception as error:
        logger.error("a delivery failed", exc_info=error, extra={"deluge": {"task": task.id}})


def _through_hooks(task: Task, response: APIResponse) -> APIResponse:
    """cache.put (the raw answer), then postprocess. A hook that raises costs its own prompt its good name, not its answer."""
    call = task.call
    try:
        if call.cache is not None and response.source == "api":
            keep(task, response)
        if call.postprocess is not None and response.source != "journal":
            response = changed_by(functools.partial(_in_context, call, call.postprocess), response)
    except Exception as error:
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


def blame(response: APIResponse, error: Exception) -> None:
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
        _in_context(call, call.cache.put, prompt, response.replaced())  # hooks may change the one that is delivered


def _keep_late(pairs: Pairs) -> None:
    for task, response in pairs:
        if task.call.cache is not None:
            keep(task, response)


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
