"""Conversations for Claude's family of formats: turns of users and the model, what tools gave back at the head of a turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from deluge.dialects._notes import Notes
from deluge.errors import InputError
from deluge.models.model import Model
from deluge.prompt import Message

Wire = dict[str, Any]


class Turns(ABC):
    """The conversation as it grows on the wire. Neighbours of one role are one message: roles have to alternate."""

    __slots__ = ("model", "system", "messages", "notes")

    def __init__(self, model: Model) -> None:
        self.model = model
        self.system: list[Wire] = []
        self.messages: list[Wire] = []
        self.notes = Notes()

    @abstractmethod
    def blocks_of(self, message: Message, role: str) -> list[Wire]:
        """The blocks of one message, in its order; ``role`` is system, user or assistant."""

    @abstractmethod
    def is_result(self, block: Wire) -> bool:
        """Whether the block is what a tool gave back."""

    @abstractmethod
    def waits(self, content: list[Wire]) -> bool:
        """Whether the model's last turn asks for something, so that it may stand at the end."""

    def take(self, messages: Iterable[Message]) -> None:
        """Adds all messages."""
        given = list(messages)
        for place, message in enumerate(given):
            if message.name is not None:
                self.notes.add("name", "messages carry no names here")
            if message.role == "system":
                self._system(message, given[place + 1] if place + 1 < len(given) else None)
            else:
                role = "assistant" if message.role == "assistant" else "user"
                self._append(role, self.blocks_of(message, role))

    def check_end(self) -> None:
        """Most models refuse to go on with words that are put into their mouth."""
        last = self.messages[-1]
        if last["role"] != "assistant" or self.waits(last["content"]):
            return
        if self.model.has("no_prefill"):
            raise InputError("the model refuses a conversation that ends with the assistant's own words")
        block = last["content"][-1]
        text = block.get("text")
        if isinstance(text, str) and text != text.rstrip():
            block["text"] = text.rstrip()
            self.notes.add("prompt", "the model goes on with the assistant's words without the blanks at their end")

    def _system(self, message: Message, following: Message | None) -> None:
        """In its place where the model takes it there (between a user's turn and the next answer), else at the top."""
        blocks = self.blocks_of(message, "system")
        here = self.model.has("system_in_between") and self.messages and self.messages[-1]["role"] in ("user", "system")
        if here and (following is None or following.role in ("assistant", "system")):
            self._append("system", blocks)
        else:
            self.system += blocks

    def _append(self, role: str, blocks: list[Wire]) -> None:
        """Results stand before everything else in a turn, whichever message they came with."""
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            blocks = self.messages.pop()["content"] + blocks
        if role == "user":
            blocks.sort(key=lambda block: not self.is_result(block))
        self.messages.append({"role": role, "content": blocks})
