"""Many processes of one program, forked or spawned: each has a client of its own, and one quota for all of them."""
import multiprocessing
import tempfile

from deluge import LLMClient


def begin(quota: str) -> None:
    """In each process, before its first job."""
    global client
    client = LLMClient("rehearsal-echo", max_requests_per_minute=3_000, max_tokens_per_minute=1_000_000, quota=quota,
                       progress=None)


def ask(question: str) -> "str | None":
    return client.ask(question, timeout=60).completion


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for way in multiprocessing.get_all_start_methods():
            with multiprocessing.get_context(way).Pool(2, begin, [f"file:{folder}/account.quota"]) as pool:
                print(way, pool.map(ask, ["How are you?", "What is 6 * 7?", "What is 3 * 3?"]))
