"""Handles: start prompts one by one, go on with other things, and take the answers as they come."""

from deluge import LLMClient

client = LLMClient("rehearsal-echo", progress=None)
cities = ["Lisbon", "Oslo", "Nairobi", "Osaka", "Lima"]
city_of = {client.start_nowait(f"Name one sight of {city}."): city for city in cities}

for task_id, response in client.as_completed(city_of):
    print(f"{city_of[task_id]:<8} after {response.latency:.3f} s: {response.completion}")
