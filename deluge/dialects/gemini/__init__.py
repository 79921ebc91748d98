"""Gemini's generateContent, on Google's own API and on Vertex AI.

https://ai.google.dev/api/generate-content
"""

from deluge.dialects.gemini.dialect import Gemini

__all__ = ["DIALECT", "Gemini"]

DIALECT = Gemini()
