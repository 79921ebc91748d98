"""What many prompts take on so many slots, told by attempts that were seen: the slots' own queue, the last ones, chance."""

from __future__ import annotations

from random import Random

import pytest

from deluge.duration import Deck, mixed
from deluge.experience import KEPT, Experience, Taken

ALIKE = [Taken(1.0)]
FLAKY = [Taken(0.05)] * 900 + [Taken(0.05, 0.3, True)] * 97 + [Taken(5.0, 0.2, True)] * 3


@pytest.mark.parametrize("prompts, slots, seconds", [
    (1, 10, 1), (10, 10, 1), (11, 10, 2), (1_000_000, 100, 10_000), (0, 5, 0),
])
def test_answers_that_are_all_alike_go_in_rounds(prompts, slots, seconds):
    assert Deck(ALIKE).duration(prompts, slots) == (seconds, seconds, seconds)
    assert Deck(ALIKE, (0.5, 3.0)).duration(prompts, slots) == (seconds / 2, seconds, seconds * 3)


def played(attempts, prompts, slots, seed):
    """The same by another way, in steps: who is in a slot, who waits for another try, who has not begun."""
    dice, now, left, running, waiting = Random(seed), 0.0, prompts, [], []
    while left or running or waiting:
        while len(running) < slots and (left or any(at <= now for at in waiting)):
            due = next((at for at in sorted(waiting) if at <= now), None)
            if due is not None:
                waiting.remove(due)
            else:
                left -= 1
            taken = dice.choice(attempts)
            running.append((now + taken.held, taken))
        now = min([end for end, _ in running] + ([] if len(running) == slots else waiting))
        for end, taken in [pair for pair in running if pair[0] <= now]:
            running.remove((end, taken))
            if taken.again:
                waiting.append(end + taken.off)
    return now


@pytest.mark.parametrize("prompts", [30, 500])
def test_what_is_said_of_a_flaky_lane_is_what_a_run_takes(prompts):
    said = Deck(FLAKY).duration(prompts, 20)
    runs = [played(FLAKY, prompts, 20, seed) for seed in range(20)]
    assert said.seconds == pytest.approx(sum(runs) / 20, rel=0.15)
    assert sum(said.low <= run <= said.high for run in runs) >= 15
    assert said == Deck(FLAKY).duration(prompts, 20), "the same each time"


def test_the_middle_of_a_large_run_is_reckoned_and_its_end_played():
    """A thousand times the work takes a thousand times as long, but the stragglers at its end come once."""
    deck, each = Deck(FLAKY), Deck(FLAKY).held / 20
    large, larger = (deck.duration(count, 20) for count in (100_000, 1_000_000))
    assert larger.seconds - large.seconds == pytest.approx(900_000 * each)
    assert 0.5 < large.seconds - 100_000 * each < 6.0, "a hang of 5 s is under way when the last prompt starts"
    assert 0.1 * large.seconds < large.high - large.low < 0.6 * large.seconds, "three hangs were seen: chance"


def test_few_answers_say_little():
    few, many = ([Taken(seconds) for seconds in (0.5, 1.0, 2.0, 4.0)] * times for times in (1, 100))
    few, many = Deck(few).duration(1_000, 10), Deck(many).duration(1_000, 10)
    assert few.seconds == pytest.approx(many.seconds, rel=0.03)
    assert (few.high - few.low) > 4 * (many.high - many.low) > 0


def test_a_deck_of_several_has_each_by_its_share():
    slow, quick = Deck([Taken(3.0)], (0.5, 2.0)), Deck([Taken(1.0), Taken(1.0, 0.0, True)], (1.0, 1.0))
    both = mixed([(slow, 100.0), (quick, 300.0)])
    assert mixed([(slow, 100.0)]) is slow
    assert both.held == pytest.approx((3.0 * 100 + 2.0 * 300) / 400, rel=0.1) and both.margins == (0.875, 1.25)


def test_experience_keeps_the_latest_and_forgets_no_rare_thing_for_a_quick_one():
    known = Experience()
    known.add(5.0, 0.2, True)
    for _ in range(KEPT - 1):
        known.add(0.05)
    assert len(known) == KEPT and known.attempts()[0] == Taken(5.0, 0.2, True)
    known.add(0.07)
    attempts = known.attempts()
    assert len(attempts) == KEPT and attempts[-1].held == pytest.approx(0.07) and not any(one.again for one in attempts)
    assert repr(known) == f"<Experience {KEPT} attempts, 0 of them tried again>" and Experience().attempts() == []


def test_answers_that_have_become_slower_are_believed_and_a_hang_among_them_is_not_taken_for_it():
    known = Experience()
    for at in range(3_000):
        known.add(0.1 if at < 1_500 else 0.2)
        if at % 400 == 399:
            known.add(5.0, 0.0, True)
    attempts = known.attempts()
    final = [one.held for one in attempts if not one.again]
    assert {one.held for one in attempts if one.again} == {5.0}
    assert sum(final) / len(final) == pytest.approx(0.2, rel=0.1)
