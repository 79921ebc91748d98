"""What the scheduler works with: tasks, the calls they belong to, and the flights of their attempts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from heapq import heapify, heappop
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from deluge.errors import error_class
from deluge.response import APIResponse, Attempt
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpCall, Verdict

if TYPE_CHECKING:
    from contextvars import Context

    from deluge.budget import Budget, Charge
    from deluge.journal import Recorder
    from deluge.lanes import Lane
    from deluge.dialects._rate_limits import RateLimitInfo
    from deluge.limits import Claim, Reservation, TokenEstimator
    from deluge.prompt import Conversation, Message
    from deluge.request import RequestTemplate
    from deluge.retry import RetryPolicy, Ruling
    from deluge.router import Router
    from deluge.tools.output import OutputReader

QUEUED, RUNNING, WAITING, FOLLOWING, HELD, ENDED = "queued", "running", "waiting", "following", "held", "ended"


class Switch(Protocol):
    """What the scheduler needs of an attempt's cutoff: its deadline, when it was sent, and a way to stop it.

    ``fresh``: it goes out on a new connection, because an idle one was dead the last time.
    """

    deadline: float
    fresh: bool
    sent_at: float

    def abort(self, reason: str) -> None:
        """Stops it, from any thread."""


class Receiver(Protocol):
    """Whoever waits for the responses of a call."""

    def take(self, task: Task, response: APIResponse) -> None:
        """One final response; called on the courier, once per task."""


class Queue(list["tuple[int, Task]"]):
    """A heap of the tasks of one call that wait in one lane, oldest first; some of them may have left since."""

    __slots__ = ("call", "left")

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call
        self.left = 0

    def head(self, lane: Lane) -> Task | None:
        """The oldest task that still waits here; those that left before it are dropped."""
        while self:
            task = self[0][1]
            if task.lane is lane and task.state == QUEUED:
                return task
            heappop(self)
            self.left -= 1
        return None

    def leave(self, lane: Lane) -> bool:
        """One of the tasks has left; True when nobody is left. Sweeps when most are gone, so that they are not kept."""
        self.left += 1
        if 2 * self.left > len(self):
            self[:] = [entry for entry in self if entry[1].lane is lane and entry[1].state == QUEUED]
            heapify(self)
            self.left = 0
        return not self


class Call:
    """One call of the client, as a snapshot: pool, parameters, tools, timeouts, hooks. Its tasks share it."""

    __slots__ = (
        "id", "templates", "router", "fallbacks", "policy", "request_timeout", "stream_timeout", "background_timeout",
        "receiver", "context", "postprocess", "cache", "reader", "journal", "max_repairs", "answers", "most_answers", "ready",
        "served", "unfinished", "name", "closed", "more", "budget", "unknown_cost", "spent", "learned", "seen_early",
        "__weakref__",
    )

    def __init__(
        self, id: int, *, templates: Mapping[str, RequestTemplate], router: Router, policy: RetryPolicy, receiver: Receiver,
        request_timeout: float, fallbacks: tuple[str, ...] = (), stream_timeout: float | None = None,
        background_timeout: float | None = None, postprocess: Callable[[APIResponse], APIResponse | None] | None = None,
        cache: Any = None, context: Context | None = None, name: str = "", reader: OutputReader | None = None,
        max_repairs: int = 0,
    ) -> None:
        self.id = id
        self.templates = templates
        self.router = router
        self.fallbacks = fallbacks
        self.policy = policy
        self.request_timeout = request_timeout
        self.stream_timeout = stream_timeout
        self.background_timeout = background_timeout
        self.receiver = receiver
        self.context = context
        self.postprocess = postprocess
        self.cache = cache
        self.reader = reader  # makes the typed object of an answer, where the call has an output_schema
        self.max_repairs = max_repairs  # how often an answer that does not fit is asked for again
        self.journal: Recorder | None = None  # writes down what is delivered
        self.answers: dict[object, APIResponse] | None = None  # by share, where equal prompts may still come
        self.most_answers = 0
        self.seen_early = True  # whether somebody sees, and may change, responses before the call is over
        self.name = name
        self.closed: str | None = None  # why nothing of it is sent any more
        self.more = False  # whether prompts will follow that are not submitted yet
        self.budget: Budget | None = None  # its own, beside the client's
        self.unknown_cost: float | None = None  # dollars that a request counts as where its price is not known
        self.spent: str | None = None  # why no money is left for the rest of it
        self.learned: dict[str, TokenEstimator] = {}  # by model, where there is a budget: how long its answers are
        self.ready: dict[Lane, Queue] = {}  # the scheduler's
        self.served = 0  # the number of its last turn
        self.unfinished: set[Task] = set()

    def __repr__(self) -> str:
        return f"<Call {self.id} {self.name} | {len(self.unfinished)} unfinished>"


class Task:
    """One prompt's story. Owned by the scheduler; while an attempt runs its worker reads it and nobody writes it."""

    __slots__ = (
        "number", "id", "index", "call", "prompt", "size", "metadata", "sink", "key", "row_id", "occurrence", "mark", "model",
        "lane", "state", "attempts", "burned", "rate_limited", "limited_for", "timeouts", "resent", "streamed", "idle",
        "created_at", "first_at", "cooled_at", "flight", "exchange", "next_call", "poll_until", "template", "handle",
        "prefer", "tokens", "read", "written", "amount", "refused", "repairs", "unfit", "share", "due_at",
        "as_delivered", "told", "__weakref__",
    )

    def __init__(
        self, id: int, index: int, call: Call, prompt: Conversation, size: int, *, metadata: Mapping[str, Any] | None = None,
        template: RequestTemplate | None = None, sink: Any = None, prefer: str | None = None,
    ) -> None:
        self.number = id
        self.id = id
        self.index = index
        self.call = call
        self.prompt = prompt
        self.size = size
        self.metadata = metadata
        self.sink = sink
        self.prefer = prefer
        self.template = template
        self.model = ""
        self.lane: Lane | None = None
        self.state = QUEUED
        self.attempts: tuple[Attempt, ...] = ()
        self.tokens = self.read = self.written = 0  # the latest estimate: of all, of the input, of the output
        self.amount = 0  # what an attempt of it is reserved at, where there is a budget
        self.burned = self.rate_limited = self.timeouts = 0
        self.limited_for = self.idle = 0.0
        self.resent = self.streamed = False
        self.created_at = self.first_at = self.cooled_at = 0.0
        self.flight: Flight | None = None
        self.exchange: Generator[Any, Any, APIResponse] | None = None
        self.next_call: HttpCall | None = None
        self.poll_until = 0.0
        self.key: str | None = None
        self.row_id: Any = None  # the id that a work list gives it
        self.occurrence = self.mark = 0  # how many with this key came before it in the input; its number in the journal
        self.handle: Any = None
        self.refused: Verdict | None = None  # why it is never sent
        self.repairs = 0  # how often it was asked again because an answer did not fit
        self.unfit: Misfit | None = None  # the latest answer that did not
        self.share: object = None  # equal for equal prompts that are sent once
        self.due_at = 0.0  # when it goes on, while it waits
        self.as_delivered = False  # its answer comes from a journal, which has what postprocess had made of it
        self.told = 0  # how many of its attempts a response has told of that is final, and recorded where there is a journal

    def __lt__(self, other: Task) -> bool:
        return self.number < other.number

    def template_for(self, model: str) -> RequestTemplate:
        """How this prompt is asked of that model: its own way if it has one, else its call's."""
        return self.template if self.template is not None else self.call.templates[model]

    @property
    def asked(self) -> Conversation:
        """What is sent: the prompt, or the prompt with an answer that did not fit and what is wrong with it."""
        return self.prompt if self.unfit is None else self.unfit.follow_up

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.state} {self.model} | {len(self.attempts)} attempts>"


class Flight:
    """One attempt under way: its switch, and what was reserved for it."""

    __slots__ = ("task", "lane", "switch", "own", "shared", "tokens", "started_at", "polling", "abandon_at", "charge")

    def __init__(
        self, task: Task, lane: Lane, switch: Switch, own: Claim, shared: Reservation | None, tokens: int,
        now: float, polling: bool,
    ) -> None:
        self.task = task
        self.lane = lane
        self.switch = switch
        self.own = own
        self.shared = shared
        self.tokens = tokens
        self.started_at = now
        self.polling = polling
        self.abandon_at = 0.0
        self.charge: Charge | None = None  # what it is reserved at, where there is a budget


class Misfit(NamedTuple):
    """An answer that is not in the form that was asked for.

    ``follow_up`` asks again, with the answer and the ``problem``; ``more``: by how much it is larger than what was asked.
    """

    problem: str
    content: Message | None
    follow_up: Conversation
    more: int


class Outcome:
    """What a worker brings back from a flight: a response, or the next call of its exchange (to be sent later).

    ``sent``: bytes may have reached the provider. ``stale``: a reused connection was dead before the first byte.
    ``crowded``: the process was out of file descriptors. ``limits``: what the headers of the reply say, where
    somebody wanted to know it.
    ``ruling``: the retry policy's answer to a failure. ``misfit``: why an answer is not what was asked for.
    """

    __slots__ = ("response", "next_call", "exchange", "sent", "stale", "crowded", "limits", "ruling", "cut",
                 "streamed", "misfit")

    def __init__(
        self, response: APIResponse | None = None, *, next_call: HttpCall | None = None,
        exchange: Generator[Any, Any, APIResponse] | None = None, sent: bool = False, stale: bool = False,
        crowded: bool = False, limits: RateLimitInfo | None = None, streamed: bool = False,
    ) -> None:
        self.response = response
        self.next_call = next_call
        self.exchange = exchange
        self.sent = sent
        self.stale = stale
        self.crowded = crowded
        self.limits = limits
        self.ruling: Ruling | None = None
        self.cut = False
        self.streamed = streamed
        self.misfit: Misfit | None = None

    @property
    def lost(self) -> bool:
        """Whether an answer may have been made, and billed, that never came whole: no usable reply to what was sent."""
        response = self.response
        if response is None or not response.is_error or not self.sent:
            return False
        status = response.status_code
        if status is None or self.cut:
            return True
        return 200 <= status < 300 and response.error_kind == "parse" and response.usage is NO_USAGE


def failed(task: Task, verdict: Verdict, status_code: int | None = None) -> APIResponse:
    """The response of a prompt that ended without a reply of a provider."""
    model = task.model or next(iter(task.call.templates), "")
    return APIResponse(
        model_internal=model, prompt=task.prompt, is_error=True, error_kind=verdict.kind, finish_reason="error",
        error_message=verdict.message or verdict.kind, status_code=status_code, _verdict=verdict,
    )


def unfit(response: APIResponse, problem: str) -> APIResponse:
    """An answer in the wrong form as the error that it ends as; text and usage stay."""
    response.is_error, response.error_kind, response.error_message = True, "parse", problem
    return response


def attempt_of(flight: Flight, outcome: Outcome, now: float, wall: float) -> Attempt:
    """The record of a flight that ended. ``wall`` is the epoch time of monotonic zero."""
    response = outcome.response
    assert response is not None
    kind = response.error_kind if response.is_error else None if outcome.misfit is None else "parse"
    return Attempt(
        flight.task.model, response.status_code, kind, wall + flight.started_at, now - flight.started_at,
        response.usage, response.cost, response.request_id, outcome.lost,
    )


def complete(
    task: Task, response: APIResponse, now: float, wall: float, late: tuple[Attempt, ...] = ()
) -> APIResponse:
    """The final response, told which task it belongs to and what all of its attempts took.

    ``late``: one more, of an answer that comes when the task has ended; it tells only of what no record has told of yet.
    """
    attempts = task.attempts[task.told:] + late if late else task.attempts
    response.id = task.id
    response.prompt = task.prompt
    if response.content is None and task.unfit is not None:
        response.content = task.unfit.content  # it was paid for
    response.index = task.index
    response.metadata = task.metadata
    response.attempts = attempts
    response.finished_at = wall + now
    if attempts:
        response.started_at = attempts[0].started_at
        response.latency = attempts[-1].latency
        response.queued = max(0.0, attempts[0].started_at - wall - task.created_at)
        if len(attempts) > 1 or response.is_error:
            response.usage, response.cost = _sums(attempts)
    else:
        response.queued = max(0.0, now - task.created_at)
    return response


def _sums(attempts: tuple[Attempt, ...]) -> tuple[Usage, float | None]:
    """Usage and cost of all attempts; the cost is unknown when tokens were used at an unknown price."""
    usage, cost, unknown = NO_USAGE, 0.0, False
    for attempt in attempts:
        usage += attempt.usage
        if attempt.cost is not None:
            cost += attempt.cost
        elif attempt.usage is not NO_USAGE and attempt.usage != NO_USAGE:
            unknown = True
    return usage, (None if unknown or usage == NO_USAGE else cost)


def exception_of(response: APIResponse) -> BaseException:
    """The error as a retry strategy sees it: of our classes, without the response that it belongs to."""
    kind = response.error_kind
    return error_class(kind)(response.error_message or kind or "", status_code=response.status_code)
