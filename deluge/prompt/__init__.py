"""Prompts: parts, messages and conversations as values, and the shapes in which users write them."""

from deluge.prompt.conversation import Conversation
from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Message
from deluge.prompt.parts import Part, Raw, Refusal, Text, Thinking, ToolCall, ToolResult

__all__ = [
    "Audio", "Conversation", "File", "Image", "Message", "Part", "Raw", "Refusal", "Text", "Thinking", "ToolCall",
    "ToolResult",
]
