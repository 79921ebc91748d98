"""An agent: the model calls your functions, several at once, until it has its answer; then many of them at a time."""

from deluge import Conversation, LLMClient

RATES = {"USD": 1.08, "GBP": 0.84, "JPY": 171.2}


def rate(currency: str) -> float:
    """How much of a currency one euro buys."""
    return RATES[currency]


def stock(item: str) -> int:
    """How many of an item are in the warehouse."""
    return len(item) * 7


client = LLMClient("rehearsal-echo", progress=None)

# A real model finds out by itself what to call; a rehearsal model is told between [[ and ]].
talk = Conversation().system("You work in a warehouse.").user(
    'What does a dollar cost, and how many lamps are there? [[call rate {"currency": "USD"}]] [[call stock {"item": "lamp"}]]'
)
talk, response = client.run_agent_loop(talk, tools=[rate, stock], max_rounds=8)
print(response.completion)
for one in response.trajectory:
    for run in one.tool_runs:
        print(f"round {one.number}: {run.call.name} gave {run.result.content} in {run.duration:.4f} s")

prompts = [f'Rate of {name}? [[call rate {{"currency": "{name}"}}]]' for name in [*RATES, "XYZ"]]
for talk, response in client.process_agent_loops(prompts, tools=[rate], show_progress=False):
    print(f"{len(response.trajectory)} rounds, {response.usage.total_tokens} tokens: {response.completion}")
