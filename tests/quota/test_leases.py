"""A seeded fleet of processes on one quota: never over it, hardly under it, fair, whatever dies or goes away."""

from __future__ import annotations

import pytest
from fleet import World

RPM = 600
SEEDS = pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])


def counts(world: World) -> list[int]:
    return [len(process.sent) for process in world.processes]


def fair(numbers: list[int], within: float) -> bool:
    share = sum(numbers) / len(numbers)
    return all(abs(number - share) <= within * share for number in numbers)


@SEEDS
def test_four_hungry_processes_use_all_of_the_requests_and_no_more(seed):
    world = World(seed, rpm=RPM, offset=1.7e9)
    for _ in range(4):
        world.add()
    begin = world.now
    world.run(180.0)
    assert world.busiest()[0] <= RPM
    assert all(world.between(begin + at, begin + at + 60.0) >= 0.97 * RPM for at in (0.0, 60.0, 120.0))
    assert fair(counts(world), 0.2) and world.warnings == 0
    assert world.store.exchanges <= 4 * 180 * 2.5, "slices of about a second"


@SEEDS
def test_tokens_are_settled_for_everybody(seed):
    world = World(seed, rpm=None, tpm=120_000, usage=(0.1, 1.0), refunds=0.03, offset=5e8)
    for _ in range(4):
        world.add(size=(100, 2_000))
    begin = world.now
    world.run(180.0)
    assert world.busiest()[1] <= 120_000
    used = sum(tokens for at, tokens in world.sent if at >= begin + 60.0)
    used += sum(difference for _, at, difference in world.settled if at >= begin + 60.0)
    assert used >= 0.95 * 2 * 120_000, "what was reserved and not used goes to whoever comes next"
    assert fair(counts(world), 0.25)


def test_a_refilling_bucket_gives_its_burst_once_and_its_refill_always():
    world = World(1, rpm=RPM, mode="bucket", usage=(0.5, 1.0))
    for _ in range(4):
        world.add()
    begin = world.now
    world.run(120.0)
    for at in range(0, 60, 5):
        assert world.between(begin, begin + at) <= RPM + RPM / 60 * at
    assert world.between(begin + 60.0, begin + 120.0) >= 0.97 * RPM
    assert fair(counts(world), 0.2)


def test_ten_requests_a_minute_for_four_processes():
    world = World(3, rpm=10)
    for _ in range(4):
        world.add()
    world.run(600.0)
    assert world.busiest()[0] <= 10 and len(world.sent) >= 97 and fair(counts(world), 0.2)


def test_a_huge_prompt_gets_its_tokens_together_though_small_ones_never_stop():
    world = World(4, rpm=None, tpm=60_000)
    for _ in range(3):
        world.add(size=(200, 2_000))
    huge = world.add(size=(50_000, 60_000))
    world.run(400.0)
    assert world.busiest()[1] <= 60_000 and len(huge.sent) >= 2
    assert min(counts(world)[:3]) > 0


def test_two_huge_prompts_do_not_wait_for_each_other():
    world = World(5, rpm=None, tpm=60_000)
    for _ in range(4):
        world.add(size=(35_000, 60_000))
    world.run(400.0)
    assert world.busiest()[1] <= 60_000 and len(world.sent) >= 5 and min(counts(world)) >= 1


def test_the_share_of_an_idle_process_goes_to_the_others_at_once():
    world = World(6, rpm=RPM, mode="bucket")
    busy, idle = world.add(), world.add()
    world.run(70.0)
    idle.backlog = False
    idle.waiting.clear()
    world.run(2.0)
    before = len(busy.sent)
    world.run(10.0)
    assert len(busy.sent) - before >= 0.95 * 10 * RPM / 60


@SEEDS
def test_processes_that_are_killed_take_no_more_than_their_lease(seed):
    world = World(seed, rpm=RPM, mode="bucket")
    for _ in range(8):
        world.add()
    world.run(65.0)
    for _ in range(30):
        victim = world.rng.choice([process for process in world.processes if process.alive])
        world.kill(victim)
        world.add()
        world.run(1.0)
    assert len(world.processes) == 38
    killed_at = world.now
    for process in [process for process in world.processes if process.alive][:4]:
        world.kill(process)
    world.run(30.0)
    assert world.between(killed_at + 5.0, killed_at + 30.0) >= 0.97 * 25 * RPM / 60, "the share is back within five seconds"
    first = world.processes[0].sent[0]
    for at in range(0, 120, 5):
        assert world.between(first, first + at) <= RPM + RPM / 60 * at


@SEEDS
def test_killed_at_random_in_a_rolling_minute(seed):
    world = World(seed, rpm=600)
    for _ in range(8):
        world.add()
    for _ in range(40):
        world.kill(world.rng.choice([process for process in world.processes if process.alive]))
        world.add()
        world.run(1.0)
    world.run(125.0)
    assert world.busiest()[0] <= 600
    assert world.between(world.now - 60.0, world.now) >= 0.97 * 600


@SEEDS
def test_when_the_quota_goes_away_each_keeps_to_its_part_and_recovers_by_itself(seed):
    world = World(seed, rpm=RPM, offset=1.7e9)
    for _ in range(4):
        world.add()
    world.run(70.0)
    world.store.away = True
    world.run(70.0)
    assert world.warnings == 4, "each says so once"
    assert world.between(world.now - 60.0, world.now) >= 0.95 * RPM
    world.store.away = False
    world.run(70.0)
    assert world.busiest()[0] <= RPM and not any(process.bucket.alone for process in world.processes)
    assert world.between(world.now - 60.0, world.now) >= 0.97 * RPM and world.warnings == 4


@SEEDS
def test_a_quota_that_loses_its_memory_is_told_everything_before_it_grants(seed):
    world = World(seed, rpm=RPM, offset=1.7e9)
    for _ in range(4):
        world.add()
    for _ in range(12):
        world.run(9.7)
        world.store.states.clear()
    world.run(60.0)
    assert world.busiest()[0] <= RPM and world.between(world.now - 60.0, world.now) >= 0.95 * RPM
    world.store.offset = 4e8  # another machine took over, with another clock
    world.store.states.clear()
    world.run(120.0)
    assert world.busiest()[0] <= RPM and world.between(world.now - 60.0, world.now) >= 0.95 * RPM


@SEEDS
def test_answers_that_are_lost_count_nothing_twice(seed):
    world = World(seed, rpm=None, tpm=60_000, usage=(0.1, 1.0), offset=1.7e9)
    world.store.deaf = lambda: world.rng.random() < 0.1
    for _ in range(4):
        world.add(size=(100, 2_000))
    world.run(185.0)
    assert world.busiest()[1] <= 60_000
    used = sum(t for at, t in world.sent) + sum(difference for _, _, difference in world.settled)
    assert used >= 0.9 * 3 * 60_000


def test_a_quota_that_could_never_be_asked_is_shared_with_strangers():
    world = World(8, rpm=RPM)
    world.store.away = True
    process = world.add()
    world.run(60.0)
    assert 0.9 * RPM / 4 <= len(process.sent) <= RPM / 4 and process.bucket.alone
    assert process.bucket.share().fair_requests_per_minute == RPM / 4


def test_the_lowest_limit_of_all_holds_and_goes_with_its_process():
    world = World(9, rpm=RPM, mode="bucket")
    first, second = world.add(), world.add()
    second.bucket.set_limits(requests_per_minute=300, tokens_per_minute=None, now=world.now)
    world.run(70.0)
    at = world.now
    world.run(30.0)
    assert world.between(at, world.now) <= 155
    assert first.bucket.snapshot(world.now).requests_per_minute == RPM
    world.kill(second)
    world.run(70.0)
    assert world.between(world.now - 30.0, world.now) >= 0.97 * RPM / 2


def test_a_trickle_costs_no_exchange_for_a_prompt():
    world = World(10, rpm=60_000)
    for _ in range(2):
        world.add(rate=50.0)
    world.run(60.0)
    assert 5_000 <= len(world.sent) <= 7_000 and world.store.exchanges <= 60 * 2 * 5
