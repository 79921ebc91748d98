"""Sends any number of prompts to any LLM provider."""
