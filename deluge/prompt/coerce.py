"""The shapes in which users write prompts, as frozen conversations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deluge.errors import ConfigError
from deluge.prompt._foreign import messages_of
from deluge.prompt.conversation import Conversation
from deluge.prompt.message import Message

_SHAPES = "a str, a Message, a Conversation, or a list of message dicts"


def as_conversation(prompt: Any, index: int | None = None) -> Conversation:
    """One prompt as a frozen conversation.

    A str is one user message. Message dicts may have OpenAI's shape (chat completions) or Anthropic's. ``ConfigError``
    says which prompt (``index``), which message and which type cannot be read.
    """
    if type(prompt) is str:
        return Conversation.of_text(prompt)
    if type(prompt) is Conversation and prompt.messages:
        return prompt if prompt.frozen else prompt.freeze()
    try:
        return _conversation(prompt)
    except ConfigError as error:
        raise ConfigError(f"{'the prompt' if index is None else f'prompt {index}'} {error}") from None


def as_prompts(prompts: Any) -> Iterable[Any]:
    """Many prompts, not yet converted: any iterable.

    One str, Message, Conversation, dict or list of message dicts is one prompt, a list of anything else is many.
    Generators stay lazy. ``ConfigError`` for what is neither a prompt nor iterable.
    """
    if isinstance(prompts, (str, Message, Conversation, Mapping)):
        return (prompts,)
    if isinstance(prompts, list):
        return (prompts,) if prompts and all(_is_message(item) for item in prompts) else prompts
    kind = type(prompts).__name__
    if isinstance(prompts, (bytes, bytearray)) or not isinstance(prompts, Iterable):
        raise ConfigError(f"prompts are of type {kind}: give {_SHAPES}, or an iterable of such prompts")
    if hasattr(prompts, "columns") and hasattr(prompts, "iloc"):  # iterating it would give the names of its columns
        raise ConfigError(f"prompts are of type {kind}: give one of its columns")
    return prompts


def _conversation(prompt: Any) -> Conversation:
    if isinstance(prompt, Conversation):
        if not prompt.messages:
            raise ConfigError("has no messages")
        return prompt.freeze()
    if isinstance(prompt, Message):
        return Conversation((prompt,)).freeze()
    if isinstance(prompt, str):  # a subclass, as numpy's: plain text from here on
        return Conversation.of_text(str(prompt))
    if isinstance(prompt, Mapping):
        return _of_mapping(prompt)
    if isinstance(prompt, (list, tuple)):
        return _of_messages(prompt)
    raise ConfigError(f"is of type {type(prompt).__name__}: give {_SHAPES}")


def _of_mapping(prompt: Mapping[str, Any]) -> Conversation:
    """One message, ``{"messages": [...]}`` (with Anthropic's ``system`` beside it), or a log of ours."""
    if "role" in prompt:
        return _of_messages((prompt,))
    messages = prompt.get("messages")
    if not isinstance(messages, (list, tuple)):
        raise ConfigError(f"is a dict without 'role' or 'messages' (it has {_names(prompt)})")
    if "version" in prompt:
        return Conversation.from_log(prompt).freeze()
    system = prompt.get("system")
    first = [{"role": "system", "content": system}] if system else []
    return _of_messages([*first, *messages])


def _of_messages(items: Iterable[Any]) -> Conversation:
    messages = messages_of(items)
    if not messages:
        raise ConfigError("has no messages")
    return Conversation(messages).freeze()


def _is_message(item: Any) -> bool:
    """A message dict, or an object of an SDK's that stands for one."""
    if isinstance(item, Mapping):
        return "role" in item
    return hasattr(item, "model_dump") and hasattr(item, "role")


def _names(data: Mapping[str, Any]) -> str:
    return ", ".join(repr(key) for key in list(data)[:5]) or "nothing"
