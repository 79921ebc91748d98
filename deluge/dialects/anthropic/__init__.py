"""Anthropic Messages: Anthropic's own and those of everybody who speaks them.

https://platform.claude.com/docs/en/api/messages
"""

from deluge.dialects.anthropic.dialect import AnthropicMessages

__all__ = ["DIALECT", "AnthropicMessages"]

DIALECT = AnthropicMessages()
