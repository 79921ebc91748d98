"""Chat completions: OpenAI's own and those of everybody who speaks them.

https://platform.openai.com/docs/api-reference/chat
"""

from deluge.dialects.openai_chat.dialect import OpenAIChat

__all__ = ["DIALECT", "OpenAIChat"]

DIALECT = OpenAIChat()
