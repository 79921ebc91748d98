"""Celery: tasks that ask, on any pool. The client is made at import; every worker process begins with it afresh.

    celery -A celery_tasks worker --pool prefork --concurrency 4
    celery -A celery_tasks worker --pool threads --concurrency 50
    celery -A celery_tasks worker --pool gevent --concurrency 200

The processes of a prefork pool share one account: a quota gives them its limits together.
"""
import os

from celery import Celery
from celery.signals import worker_process_shutdown

from deluge import LLMClient

broker = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
app = Celery("celery_tasks", broker=broker, backend=broker)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)

client = LLMClient(os.environ.get("LLM_MODEL", "rehearsal-echo"), base_url=os.environ.get("LLM_BASE_URL"),
                   quota=os.environ.get("LLM_QUOTA"), max_requests_per_minute=30_000, max_tokens_per_minute=5_000_000,
                   progress=None)


@app.task
def ask(question: str) -> "str | None":
    """One answer. An error of the provider's fails the task, which Celery may retry by its own rules."""
    return client.ask(question, timeout=60).raise_for_error().completion


@app.task
def ask_all(questions: "list[str]") -> "list[str | None]":
    """Many answers in one task: cheaper than a task for each."""
    return client.process_prompts(questions, return_completions_only=True, timeout=300)


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def finish(**_: object) -> None:
    """A process of the prefork pool ends: nothing that it sent is left behind, and its lease of the quota goes back."""
    client.close()


if __name__ == "__main__":
    print(ask.apply(args=["What is 6 * 7?"]).get())
    print(ask_all.apply(args=[["How are you?", "What is 3 * 3?"]]).get())
