"""The Responses API: OpenAI's own, and those of the hosts that serve it too.

https://platform.openai.com/docs/api-reference/responses
"""

from deluge.dialects.openai_responses.dialect import OpenAIResponses

__all__ = ["DIALECT", "OpenAIResponses"]

DIALECT = OpenAIResponses()
