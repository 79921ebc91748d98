"""What an agent has been through, and the final response that tells it. Pure."""

from __future__ import annotations

from typing import Any, cast

from deluge.agent.trajectory import AgentRound, StopReason, ToolRun, Trajectory
from deluge.errors import ErrorKind
from deluge.prompt import Conversation
from deluge.response import APIResponse
from deluge.wire import Verdict


class Story:
    """The responses of an agent's rounds as they came, each with the tool calls that followed."""

    def __init__(self, id: int, index: int, prompt: Conversation, model: str) -> None:
        self.id = id
        self.index = index
        self.prompt = prompt
        self.model = model
        self._responses: list[APIResponse] = []
        self._runs: list[tuple[ToolRun, ...]] = []

    def add(self, response: APIResponse) -> None:
        """A round's response."""
        self._responses.append(response)
        self._runs.append(())

    def ran(self, runs: tuple[ToolRun, ...]) -> None:
        """The calls that followed the latest response; those that the conversation began with belong to no round."""
        if self._runs:
            self._runs[-1] = runs

    def last(self) -> APIResponse | None:
        """The latest response."""
        return self._responses[-1] if self._responses else None

    def failure(self, kind: str, words: str) -> APIResponse:
        """An error response of no round."""
        last = self.last()
        verdict = Verdict(cast(ErrorKind, kind), message=words)
        return APIResponse(
            id=self.id, model_internal=self.model if last is None else last.model_internal, is_error=True, error_kind=kind,
            error_message=words or kind, finish_reason="error", prompt=self.prompt, _verdict=verdict,
        )

    def told(self, last: APIResponse, reason: StopReason) -> APIResponse:
        """A copy of ``last`` as the agent's final response: usage, cost and attempts are those of all rounds."""
        responses = self._responses
        rounds = tuple(
            AgentRound.of(number, response, runs)
            for number, (response, runs) in enumerate(zip(responses, self._runs), 1)
        )
        trajectory = Trajectory(rounds, reason)
        changes: dict[str, Any] = {
            "id": self.id, "index": self.index, "prompt": self.prompt, "usage": trajectory.usage, "cost": trajectory.cost,
            "attempts": tuple(attempt for response in responses for attempt in response.attempts),
            "trajectory": trajectory,
        }
        if responses:
            paid = any(response.source == "api" for response in responses)
            changes.update(
                source="api" if paid else responses[-1].source, local_cache_hit=not paid,
                started_at=next((one.started_at for one in responses if one.started_at is not None), None),
                finished_at=responses[-1].finished_at, queued=responses[0].queued,
            )
        return last.replaced(**changes)

    def __repr__(self) -> str:
        return f"<Story of {len(self._responses)} rounds>"
