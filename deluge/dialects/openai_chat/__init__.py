"""Chat completions: OpenAI's own (https://platform.openai.com/docs/api-reference/chat) and those of all who speak it."""

from deluge.dialects.openai_chat.dialect import OpenAIChat

__all__ = ["DIALECT", "OpenAIChat"]

DIALECT = OpenAIChat()
