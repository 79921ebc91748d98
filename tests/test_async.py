"""The one async door: any loop, several at once, and nothing blocks it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import client_of

from deluge import ConfigError, LLMClient
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    with client_of(rehearsal) as client:
        yield client


def test_it_gives_what_the_blocking_call_gives(client: LLMClient) -> None:
    async def main() -> None:
        answers = await client.process_prompts_async(["a", "[[fault 400]]", "b"])
        assert [getattr(answer, "completion") for answer in answers] == ["a", None, "b"]
        assert await client.process_prompts_async("one", return_completions_only=True) == ["one"]
        assert await client.process_prompts_async((p for p in "xyz"), return_completions_only=True) == ["x", "y", "z"]
        assert await client.process_prompts_async([]) == []

    asyncio.run(main())


def test_several_loops_one_after_the_other_and_at_once(client: LLMClient) -> None:
    got: list[Any] = []

    def loop(name: str) -> None:
        prompts = [f"{name} {n}" for n in range(50)]
        for _ in range(2):
            got.append(asyncio.run(client.process_prompts_async(prompts, return_completions_only=True)) == prompts)

    threads = [threading.Thread(target=loop, args=(f"loop {letter}",)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [True] * 8


def test_calls_of_one_loop_run_side_by_side(client: LLMClient) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*(
            client.process_prompts_async([f"call {n} a", f"call {n} b"], return_completions_only=True) for n in range(20)
        ))

    assert asyncio.run(main()) == [[f"call {n} a", f"call {n} b"] for n in range(20)]


def test_cancelling_the_coroutine_cancels_its_prompts(rehearsal: RehearsalServer, client: LLMClient) -> None:
    async def main() -> None:
        call = asyncio.ensure_future(client.process_prompts_async([f"[[latency 60]] {n}" for n in range(20)]))
        while rehearsal.count < 21:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    other = client.start_nowait("[[latency 0.5]] other")
    asyncio.run(main())
    rehearsal.wait_for_outcomes("aborted", 20)
    assert other.result(10).completion is not None and client.drain(5)


def test_wait_for_of_asyncio_and_timeout_of_ours(rehearsal: RehearsalServer, client: LLMClient) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.process_prompts_async(["[[latency 60]]"]), 0.1)
        answers = await client.process_prompts_async(["quick", "[[latency 60]]"], timeout=0.3)
        assert [getattr(answer, "error_kind") for answer in answers] == [None, "cancelled"]

    asyncio.run(main())
    assert client.drain(5)


def test_a_loop_that_ends_before_its_prompts(
    rehearsal: RehearsalServer, client: LLMClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        asyncio.ensure_future(client.process_prompts_async(["[[latency 60]]"]))
        while rehearsal.count < 1:
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert client.drain(5) and client.ask("after").completion == "after"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_prompts_do_not_block_the_loop(rehearsal: RehearsalServer, count: int) -> None:
    with client_of(rehearsal, max_concurrent_requests=100) as client:
        async def main() -> tuple[float, int]:
            longest, beats, done = 0.0, 0, False

            async def heart() -> None:
                nonlocal longest, beats
                while not done:
                    before = time.monotonic()
                    await asyncio.sleep(0.005)
                    longest = max(longest, time.monotonic() - before)
                    beats += 1

            beating = asyncio.ensure_future(heart())
            answers = await client.process_prompts_async([f"p {n}" for n in range(count)], timeout=60)
            assert len(answers) == count
            done = True
            await beating
            return longest, beats

        longest, beats = asyncio.run(main())
        assert longest < 1.0 and beats > 20


def test_mistakes_are_raised_in_the_coroutine(client: LLMClient) -> None:
    with pytest.raises(ConfigError, match="prompt 1"):
        asyncio.run(client.process_prompts_async(["a", 7]))
    with pytest.raises(TypeError, match="retries"):
        asyncio.run(client.process_prompts_async(["a"], retries=1))  # type: ignore[call-arg]
    assert client.drain(5)


def test_an_input_that_raises(client: LLMClient) -> None:
    def prompts() -> Iterator[str]:
        yield "a"
        raise LookupError("gone")

    with pytest.raises(LookupError):
        asyncio.run(client.process_prompts_async(prompts()))
    assert client.drain(5)


def test_blocking_calls_inside_a_running_loop_work(client: LLMClient) -> None:
    """A notebook cell runs in a loop: the blocking calls work there as everywhere."""
    async def main() -> str | None:
        return client.ask("in a notebook").completion

    assert asyncio.run(main()) == "in a notebook"
