"""The shapes in which users write prompts, as frozen conversations."""

from __future__ import annotations

from typing import Any

from deluge.errors import ConfigError
from deluge.prompt.conversation import Conversation
from deluge.prompt.message import Message


def as_conversation(prompt: Any) -> Conversation:
    """One prompt as a frozen conversation: a str, a Message, a Conversation, or message dicts."""
    if type(prompt) is str:
        return Conversation.of_text(prompt)
    if isinstance(prompt, Conversation):
        return prompt.freeze()
    if isinstance(prompt, Message):
        return Conversation((prompt,)).freeze()
    if isinstance(prompt, str):
        return Conversation.of_text(str(prompt))
    raise ConfigError(f"a prompt of type {type(prompt).__name__}")
