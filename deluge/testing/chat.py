"""The rehearsal provider's chat completions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from deluge import _json
from deluge.testing.exchange import Reply, Request
from deluge.testing.limits import Decision, RateLimits, duration
from deluge.testing.service import Service


class Chat:
    """``POST /v1/chat/completions`` and ``GET /v1/models``."""

    name = "chat"

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of chat's, under any prefix."""
        return path.endswith("/chat/completions") or path.endswith("/models")

    def reply(self, request: Request, service: Service) -> Reply:
        """The completion."""
        body = request.json
        text = ""
        for message in body.get("messages", ()):
            if message.get("role") == "user":
                text = message.get("content")
        data = _json.dumps({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": body.get("model"),
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": len(text) // 4 + 1, "completion_tokens": len(text) // 4 + 1,
                      "total_tokens": 2 * (len(text) // 4 + 1)}})
        return Reply(200, data, model=body.get("model", ""), prompt=text, charge=(10, 10, 10))

    def error(self, status: int, message: str, kind: str = "", code: str | None = None) -> bytes:
        """OpenAI's error object."""
        return _json.dumps({"error": {"message": message, "type": kind or "x", "param": None, "code": code}})

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """x-ratelimit."""
        return ()

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """429."""
        return Reply(429, self.error(429, "limit"), headers=(*reply.headers, ("retry-after", str(math.ceil(decision.retry_after)))))


WIRE = Chat()
