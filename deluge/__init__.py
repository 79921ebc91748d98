"""Sends any number of prompts to any LLM provider, as fast as the quota allows, from ordinary blocking Python.

    from deluge import LLMClient
    client = LLMClient("gpt-4.1-mini", max_requests_per_minute=5_000)
    for response in client.process_prompts(prompts):
        print(response.completion)

Importing this package is cheap: each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deluge import _plugins
from deluge._version import __version__

if TYPE_CHECKING:
    from deluge.adaptation import Adaptation, CooldownRules
    from deluge.agent import AgentFuture, AgentRound, ToolRun, Trajectory
    from deluge.batches import BatchJob, BatchPart, BatchStatus
    from deluge.client import LLMClient
    from deluge.errors import (
        APIConnectionError, APIError, APIStatusError, APITimeoutError, AuthenticationError, BadRequestError,
        BatchError, BatchTimeoutError, BudgetExceededError, CancelledError, ClosedError, ConfigError,
        ContentFilterError, ContextLengthError, DelugeError, EmbeddingError, InputError, InternalServerError,
        Interrupted, JournalError, MCPError, MissingAPIKeyError, NotFoundError, OverloadedError, PermissionDeniedError,
        PostprocessError, QuotaExhaustedError, RateLimitError, RequestTooLargeError, ResponseError, ResponseParseError,
        ToolError, UnknownModelError,
    )
    from deluge.estimates import Estimate
    from deluge.handles import ResponseFuture
    from deluge.models import Limits, Model, Price, Provider, find_models, get_model, register_model, register_provider
    from deluge.params import CachePattern, SamplingParams
    from deluge.prompt import (
        Audio, Conversation, File, Image, Message, Part, Raw, Refusal, Text, Thinking, ToolCall, ToolResult,
    )
    from deluge.quota import FileQuota, RedisQuota
    from deluge.rerank import Ranked
    from deluge.response import APIResponse, Attempt
    from deluge.status import LaneLimits, StatusSnapshot
    from deluge.tools import MCPServer, Tool
    from deluge.tracker import StatusTracker
    from deluge.usage import Usage
    from deluge.wire import StreamDelta

_HOMES = {
    "adaptation": "Adaptation CooldownRules",
    "agent": "AgentFuture AgentRound ToolRun Trajectory",
    "batches": "BatchJob BatchPart BatchStatus",
    "client": "LLMClient",
    "errors": "APIConnectionError APIError APIStatusError APITimeoutError AuthenticationError BadRequestError "
              "BatchError BatchTimeoutError BudgetExceededError CancelledError ClosedError ConfigError "
              "ContentFilterError ContextLengthError DelugeError EmbeddingError InputError InternalServerError "
              "Interrupted JournalError MCPError MissingAPIKeyError NotFoundError OverloadedError "
              "PermissionDeniedError PostprocessError QuotaExhaustedError RateLimitError RequestTooLargeError "
              "ResponseError ResponseParseError ToolError UnknownModelError",
    "estimates": "Estimate",
    "handles": "ResponseFuture",
    "models": "Limits Model Price Provider find_models get_model register_model register_provider",
    "params": "CachePattern SamplingParams",
    "prompt": "Audio Conversation File Image Message Part Raw Refusal Text Thinking ToolCall ToolResult",
    "quota": "FileQuota RedisQuota",
    "rerank": "Ranked",
    "response": "APIResponse Attempt",
    "status": "LaneLimits StatusSnapshot",
    "tools": "MCPServer Tool",
    "tracker": "StatusTracker",
    "usage": "Usage",
    "wire": "StreamDelta",
}
_ROOM_OF = {name: room for room, names in _HOMES.items() for name in names.split()}

__all__ = [
    "APIConnectionError", "APIError", "APIResponse", "APIStatusError", "APITimeoutError", "Adaptation", "AgentFuture",
    "AgentRound", "Attempt", "Audio", "AuthenticationError", "BadRequestError", "BatchError", "BatchJob", "BatchPart",
    "BatchStatus", "BatchTimeoutError", "BudgetExceededError", "CachePattern", "CancelledError", "ClosedError",
    "ConfigError", "ContentFilterError", "ContextLengthError", "Conversation", "CooldownRules", "DelugeError",
    "EmbeddingError", "Estimate", "File", "FileQuota", "Image", "InputError", "InternalServerError", "Interrupted",
    "JournalError", "LLMClient", "LaneLimits", "Limits", "MCPError", "MCPServer", "Message", "MissingAPIKeyError",
    "Model", "NotFoundError", "OverloadedError", "Part", "PermissionDeniedError", "PostprocessError", "Price", "Provider",
    "QuotaExhaustedError", "Ranked", "RateLimitError", "Raw", "RedisQuota", "Refusal", "RequestTooLargeError",
    "ResponseError", "ResponseFuture", "ResponseParseError", "SamplingParams", "StatusSnapshot", "StatusTracker",
    "StreamDelta", "Text", "Thinking", "Tool", "ToolCall", "ToolError", "ToolResult", "ToolRun", "Trajectory",
    "UnknownModelError", "Usage", "__version__", "find_models", "get_model", "register_model", "register_provider",
]


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'deluge' has no attribute {name!r}")
    value = getattr(_plugins.room(room), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
