"""One agent: it asks, runs the tools that are called, adds the results, and asks again."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from collections.abc import Callable
from typing import Any

from deluge import _log, lifecycle
from deluge.agent.assignment import Assignment
from deluge.agent.future import AgentFuture, Roster
from deluge.agent.running import ToolRuns
from deluge.agent.story import Story
from deluge.agent.trajectory import StopReason
from deluge.courier import SLICE, blame, changed_by
from deluge.errors import ClosedError, DelugeError, MCPError
from deluge.prompt import Conversation, Message, Text, ToolResult
from deluge.prompt.show import print_transcript
from deluge.response import APIResponse
from deluge.tasks import Task
from deluge.wire import StreamDelta

_logger = _log.logger("agent")
TIMED_OUT = "the call's timeout has passed"
FINAL = "[This was the last round: no more calls are possible. Give the final answer now, from what is known.]"
_NO_MORE = "this was the last round: the call was not made"
_SHOWN = 500  # characters of a text that verbose prints
LONG = 30.0  # seconds of one wait on a thread that nobody interrupts


class _Stopped(Exception):
    """The agent was ended from outside."""


class _Raised(Exception):
    """A hook of the user's raised ``error``."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Agent:
    """Runs on one thread. Everybody else puts items into its mailbox, or cancels it.

    Its lock keeps the conversation whole: whoever ends the agent answers the calls that are open, and from then on
    nothing of the agent's touches the conversation. The engine's lock may be taken under it, never the other way round.
    """

    def __init__(self, assignment: Assignment, roster: Roster, conversation: Conversation, index: int = 0) -> None:
        self.assignment = assignment
        self.habits = assignment.habits
        self.conversation = conversation
        self.index = index
        self.id = next(assignment.engine.ids)
        self.context = assignment.context.copy()
        self.future = AgentFuture(self.id, roster.book, self.cancel)
        self.stopped: StopReason | None = None
        self._engine = assignment.engine
        self._roster = roster
        self._mailbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._task: Task | None = None
        self._model: str | None = None
        self._open: ToolRuns | None = None
        self._story = Story(self.id, index, conversation.freeze(), assignment.first_model)
        self._final: APIResponse | None = None
        self._slice = SLICE
        roster.enter(self)

    # ------------------------------------------------------------------ from other threads

    def put(self, item: Any) -> None:
        """A piece of text, a response, or a tool's result."""
        self._mailbox.put(item)

    def cancel(self, words: str = "cancelled") -> bool:
        """Ends the agent at once; False when it has ended."""
        with self._lock:
            if self.stopped is not None:
                return False
            self._stop_request(wait=False)
            final = self._finished(self._story.failure("cancelled", words), "cancelled", words)
        self._mailbox.put(None)
        hooked = self._hooked(final)
        if hooked is not None:
            self._on_courier(hooked)
        self._resolve(final)
        return True

    def orphan(self) -> None:
        """In a forked child: the agent is the parent's."""
        self._lock = threading.Lock()
        if self.stopped is None:
            words = "the process was forked; the parent has it"
            if self._open is not None:
                self._open.forget()
            lost = self._finished(self._story.failure("cancelled", words), "cancelled", words)
            self.future.orphan((self.conversation, lost))

    # ------------------------------------------------------------------ the loop

    def start(self) -> None:
        """Runs on a thread of its own."""
        try:
            threading.Thread(target=self.run, name=f"deluge-agent-{self.id}", daemon=True).start()
        except RuntimeError as error:  # no thread is to be had
            self.cancel(str(error))
            raise

    def run(self) -> None:
        """Goes on until there is an answer, or a reason to stop. Ctrl-C ends the agent and is raised."""
        if threading.current_thread().daemon:
            self._slice = LONG
        try:
            self._go()
        except _Stopped:
            pass
        except Exception as error:
            self._end_with(error)
        except BaseException:
            if not self.cancel("interrupted") and self._final is not None:
                self._resolve(self._final)  # a hook was having its turn
            raise

    def _go(self) -> None:
        self.assignment.prepare()
        self._take_up()
        for number in range(1, self.habits.max_rounds + 1):
            if self.assignment.timed_out:
                self._end(self._story.failure("cancelled", TIMED_OUT), "cancelled")
                return
            response = self._ask(number)
            if response.is_error:
                self._end(response, "cancelled" if response.error_kind == "cancelled" else "error")
                return
            called = self._take(number, response)
            self._hook(self.habits.on_round_complete, self.conversation, response, number)
            if not called and not response.paused:
                self._end(response, "answer")
                return
        self._end(response, "max_rounds")

    def _take_up(self) -> None:
        """Runs the calls that the conversation, as it was given, ends with."""
        last = self.conversation.messages[-1]
        calls = self.assignment.box.calls_in(last) if last.role == "assistant" else ()
        if calls:
            runs = ToolRuns(self, 0, last, calls)
            with self._lock:
                self._check()
                self._open = runs
            self._run(runs, 0)

    def _ask(self, number: int) -> APIResponse:
        """The response of one round."""
        last = number == self.habits.max_rounds
        assignment = self.assignment
        plan = assignment.last_plan if last else assignment.first_plan if number == 1 else assignment.plan
        prompt = told_last(self.conversation) if last else self.conversation
        listener = self.habits.on_text_delta
        task = plan.task(self.index, prompt.freeze(), None if listener is None else self)
        task.handle = self
        task.prefer = self._model or task.prefer
        hit = self.context.run(plan.cached, task)
        with self._lock:
            self._check()
            self._task = task
            self.assignment.count()
            if hit is None:
                self._engine.submit([task])
            else:
                self._engine.deliver([(task, hit)])
        response = self._answer(listener)
        if not response.is_error:
            self._model = task.model or response.model_internal
        with self._lock:
            self._check()
            self._task = None
            self._story.add(response)
        return response

    def _answer(self, listener: Callable[[StreamDelta], Any] | None) -> APIResponse:
        heard = False
        while True:
            item = self.next_item(LONG)
            if isinstance(item, StreamDelta) and item.kind == "text":
                heard = True
                self._hook(listener, item)
            elif isinstance(item, APIResponse):
                if not heard and item.completion and not item.is_error:  # from a cache: in one piece
                    self._hook(listener, StreamDelta("text", item.completion))
                return item

    def _take(self, number: int, response: APIResponse) -> bool:
        """Adds an answer to the conversation, runs what it calls, adds the results; whether there were calls."""
        message = response.content
        if message is None or not message.parts:
            return False
        calls = self.assignment.box.calls_in(message)
        runs = ToolRuns(self, number, message, calls)
        with self._lock:
            self._check()
            self._open = runs if calls else None
            self.conversation.with_message(message, model_used=response.model_internal)
        self._tell(message)
        if calls:
            self._run(runs, number)
        return bool(calls)

    def _run(self, runs: ToolRuns, number: int) -> None:
        """Runs calls, but for those of the last round, and adds their results."""
        if number < self.habits.max_rounds:
            runs.run(self.assignment.end)
        with self._lock:
            self._check()
            results = self._close_calls(runs, _NO_MORE)
        self._tell(results)

    def next_item(self, timeout: float) -> Any:
        """What comes into the mailbox; None when nothing does within the time. Raises when the agent was ended."""
        try:
            item = self._mailbox.get(timeout=max(0.001, min(self._slice, timeout)))
        except queue.Empty:
            item = None
        self._check()
        if item is None and lifecycle.exiting:
            raise ClosedError("the interpreter is shutting down")
        return item

    def _check(self) -> None:
        if self.stopped is not None:
            raise _Stopped

    def _tell(self, message: Message) -> None:
        if self.habits.verbose:
            print_transcript((message,), _SHOWN, None)
        self._hook(self.habits.on_message, message)

    def _hook(self, hook: Callable[..., Any] | None, *arguments: Any) -> None:
        if hook is None:
            return
        try:
            self.context.run(hook, *arguments)
        except Exception as error:
            raise _Raised(error) from None
        self._check()

    # ------------------------------------------------------------------ the end

    def _end(self, last: APIResponse, reason: StopReason) -> None:
        """The end that the agent comes to by itself. ``postprocess`` has its turn before anybody sees the response."""
        with self._lock:
            if self.stopped is not None:
                return
            self._stop_request(wait=True)
            final = self._finished(last, reason, "the agent stopped before this call had ended")
        hooked = self._hooked(final)
        if hooked is not None:
            done = threading.Event()
            changed: list[APIResponse] = []

            def attend() -> None:
                changed.append(hooked())
                done.set()

            if self._on_courier(attend):
                while not done.wait(SLICE) and not lifecycle.exiting:
                    pass
                final = changed[0] if changed else final
        self._resolve(final)

    def _end_with(self, error: Exception) -> None:
        """The end that an exception brings: of a hook, a server, the client, the conversation; or of ours."""
        if isinstance(error, _Raised):
            self._end_blaming(error.error)
        elif isinstance(error, MCPError):
            gone = error.kind == "cancelled"
            self._end(self._story.failure(error.kind, str(error)), "cancelled" if gone else "error")
        elif isinstance(error, ClosedError):
            self._end(self._story.failure("cancelled", str(error)), "cancelled")
        elif isinstance(error, DelugeError):  # the conversation cannot be sent
            self._end(self._story.failure("input", str(error)), "error")
        else:
            _logger.error("an agent failed", exc_info=error)
            self._end(self._story.failure("server", f"the agent failed: {type(error).__name__}: {error}"), "error")

    def _end_blaming(self, error: Exception) -> None:
        """A hook raised: the response says so, and keeps the answer that was paid for."""
        response = self._story.last()
        response = response.replaced() if response is not None else self._story.failure("postprocess", "")
        response.id = self.id
        blame(response, error)
        self._end(response, "error")

    def _finished(self, last: APIResponse, reason: StopReason, words: str) -> APIResponse:
        """The final response. Called with the lock: from here on the conversation belongs to the caller again."""
        self.stopped = reason
        if self._open is not None:
            self._close_calls(self._open, words)
        self._final = self._story.told(last, reason)
        return self._final

    def _close_calls(self, runs: ToolRuns, words: str) -> Message:
        """Adds the results of all calls, with these words for those that have none. Called with the lock."""
        done = runs.in_order(words)
        results = Message("tool", tuple(run.result for run in done))
        self._story.ran(done)
        if self.conversation.messages[-1] is runs.message:  # else Ctrl-C came right in between
            self.conversation.add(results)
        self._open = None
        return results

    def _stop_request(self, wait: bool) -> None:
        """Cuts the request that is under way, if one is, and counts what became of it. Called with the lock."""
        task, self._task = self._task, None
        if task is None:
            return
        response = self._engine.cancel(task)
        while response is None:  # it had ended: its response is in the mailbox, or soon will be
            try:
                item = self._mailbox.get(timeout=SLICE) if wait else self._mailbox.get_nowait()
            except queue.Empty:
                if not wait or lifecycle.exiting:
                    return
                continue
            response = item if isinstance(item, APIResponse) else None
        self._story.add(response)

    def _hooked(self, final: APIResponse) -> Callable[[], APIResponse] | None:
        """What ``postprocess`` makes of the final response, to be run on the courier; None when there is no hook."""
        hook = self.assignment.postprocess
        if hook is None:
            return None
        context = self.assignment.context.copy()

        def hooked() -> APIResponse:
            try:
                return changed_by(lambda response: context.run(hook, response), final)
            except BaseException as error:
                blame(final, error)
                return final

        return hooked

    def _on_courier(self, job: Callable[[], Any]) -> bool:
        try:
            self._engine.on_courier(job)
        except DelugeError:
            return False
        return True

    def _resolve(self, final: APIResponse) -> None:
        self._roster.leave(self)
        self.future.end(self.conversation, final)

    def __repr__(self) -> str:
        return f"<Agent {self.id} {self.stopped or 'running'} | {self._story!r}>"


def told_last(conversation: Conversation) -> Conversation:
    """The conversation with the words that this is the last round, at the end of the latest tool result.

    Not as a message of the user's: Mistral's API and templates refuse one right after a tool's.
    """
    last = conversation.messages[-1]
    result = last.parts[-1] if last.role == "tool" and last.parts else None
    if not isinstance(result, ToolResult) or not isinstance(result.content, (str, tuple)):
        return conversation
    content = result.content
    told = f"{content}\n\n{FINAL}" if isinstance(content, str) else (*content, Text(FINAL))
    parts = (*last.parts[:-1], replace(result, content=told))
    return Conversation((*conversation.messages[:-1], replace(last, parts=parts)), model_used=conversation.model_used)
