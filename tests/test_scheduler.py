"""What the scheduler decides, as told stories: prompts, limits, retries, hops, cancels, polls. No threads, no clock."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge.dialects._rate_limits import Quota, RateLimitInfo
from deluge.landing import CROWDED_WAIT
from deluge.scheduler import GRACE
from deluge.tasks import ENDED, QUEUED, Call
from deluge.usage import Usage

from stories import Story, model


# ---------------------------------------------------------------------- one prompt, many prompts


def test_one_prompt_starts_at_once_and_ends_with_its_answer():
    story = Story()
    assert repr(story) == "<Scheduler 0/10 running | 0 ready>"
    task, = story.submit(story.call())
    assert repr(story) == "<Scheduler 1/10 running | 0 ready>"
    story.now += 2.0
    story.answer()
    response = story.responses[task.id]
    assert (response.is_error, response.latency, response.queued, response.id) == (False, 2.0, 0.0, task.id)
    assert story.tried(task) == [("a", None)]
    assert repr(story) == "<Scheduler 0/10 running | 0 ready>"
    assert story.tracker.snapshot().requests_sent == 1


def test_a_lane_takes_its_prompts_in_order():
    story = Story(slots=2)
    tasks = story.submit(story.call(), 6)
    assert repr(story) == "<Scheduler 2/2 running | 4 ready | limited by slots>"
    story.run()
    assert [id for _, id, _ in story.started] == [task.id for task in tasks]
    assert story.tracker.snapshot().succeeded == 6


def test_slots_are_never_exceeded_and_follow_their_limit_both_ways():
    story = Story(slots=3)
    story.submit(story.call(), 20)
    assert len(story.flying) == 3
    story.scheduler.set_limits(story.now, requests_per_minute=None, tokens_per_minute=None, slots=6)
    story.step()
    assert len(story.flying) == 6
    story.scheduler.set_limits(story.now, requests_per_minute=None, tokens_per_minute=None, slots=2)
    story.step()
    for left in (5, 4, 3, 2):
        story.answer()
        assert len(story.flying) == max(2, left)
    story.answer()
    assert len(story.flying) == 2
    story.run()
    assert len(story.responses) == 20


def test_a_single_prompt_beside_a_bulk_ends_within_three_latencies():
    story = Story(slots=10)
    story.submit(story.call(), 10_000)
    for _ in range(37):
        story.answer()
    began = story.now
    single, = story.submit(story.call())
    while single.id not in story.responses:
        due = story.flying[0].started_at + 1.0
        story.now = max(story.now, due)
        for flight in [flight for flight in story.flying if flight.started_at + 1.0 <= story.now]:
            story.answer(flight.task)
    assert story.now - began <= 3.0


def test_calls_take_turns():
    story = Story(slots=1)
    calls = [story.call() for _ in range(3)]
    names = {task.id: at for at, call in enumerate(calls) for task in story.submit(call, 4)}
    story.run()
    order = [names[id] for _, id, _ in story.started]
    assert order[0] == 0
    assert sorted(order[1:4]) == sorted(order[4:7]) == sorted(order[7:10]) == [0, 1, 2]


def test_many_calls_of_one_prompt_each_cost_no_more_than_one_call():
    story = Story(slots=1)
    for _ in range(300):
        story.submit(story.call())
    story.run()
    assert [id for _, id, _ in story.started] == list(range(1, 301))
    assert not any(lane._turns for lane in story.scheduler.lanes.values())


def test_calls_that_wait_in_another_lane_keep_their_turns():
    story = Story(slots=3)
    slow = model("slow", requests_per_minute=1)
    for _ in range(50):
        story.submit(story.call([slow]))
    bulk = story.submit(story.call(), 30)
    while any(task.id not in story.responses for task in bulk):
        story.answer(next(flight.task for flight in story.flying if flight.task.model == "a"))
    story.run()
    assert [id for _, id, name in story.started if name == "slow"] == list(range(1, 51))


def test_shares_of_two_models_are_exact():
    story = Story(slots=100)
    story.submit(story.call(["a", "b"], weights=[3, 1]), 40)
    assert [name for _, _, name in story.started].count("b") == 10


def test_a_preferred_model_and_a_template_of_its_own_are_no_picks():
    story = Story()
    call = story.call(["a", "b"])
    other = story.call(["c"])
    story.submit(call, prefer="b")
    story.submit(call, template=other.templates["c"])
    story.submit(call, prefer="unknown")
    assert [name for _, _, name in story.started] == ["b", "c", "a"]
    assert call.router.picks == 1


# ---------------------------------------------------------------------- limits


def test_the_client_wide_requests_hold_for_all_calls_together():
    story = Story(rpm=5, slots=100)
    story.submit(story.call(), 4)
    story.submit(story.call(["b"]), 4)
    assert len(story.flying) == 5
    assert repr(story).endswith("3 ready | limited by requests/min>")
    while story.flying:
        story.answer()
    assert story.wait(60.0) == []
    assert len(story.wait(0.6)) == 3


def test_tokens_are_reserved_and_settled_with_the_usage():
    story = Story(tpm=1_000, slots=100)
    story.submit(story.call(most=370), 5)  # 10 + 8 + 370 each
    assert len(story.flying) == 2
    assert repr(story).endswith("limited by tokens/min>")
    story.answer(usage=Usage(18, 182))
    assert len(story.flying) == 2, "200 tokens were given back, which is room for the third"


def test_what_the_client_wide_limit_refuses_is_overtaken_by_nobody():
    story = Story(tpm=1_000, slots=100)
    call, small = story.call(most=10), story.call(["b"], most=10)
    story.submit(call, 1, size=2_400)
    large, = story.submit(call, 1, size=2_800)
    tiny = story.submit(small, 3, size=40)
    assert len(story.flying) == 1
    assert story.wait(30.0) == []
    assert story.wait(31.0)[0] == large.id
    assert tiny[0].state != ENDED


def test_a_held_prompt_of_another_lane_does_not_overtake_either():
    story = Story(tpm=1_000, slots=100)
    limited = model("b", requests_per_minute=1)
    story.submit(story.call([limited], most=10), 2)  # the second one holds its lane
    story.submit(story.call(most=10), 1, size=2_000)
    whale, = story.submit(story.call(most=10), 1, size=3_600)
    while story.flying:
        story.answer(usage=Usage(500, 0))
    first = [id for at, id, _ in story.started if at > 1_000.0] or story.wait(62.0)
    assert first[0] == whale.id


def test_when_the_refused_prompt_is_cancelled_the_others_start_at_once():
    story = Story(tpm=1_000, slots=100)
    call = story.call(most=10)
    story.submit(call, 1, size=2_400)
    large, = story.submit(call, 1, size=2_800)
    tiny, = story.submit(call, 1)
    assert story.scheduler.cancel(large, story.now)
    assert story.step() == [tiny.id]


def test_a_large_prompt_is_not_starved_by_small_ones():
    story = Story(slots=100)
    own = model("a", tokens_per_minute=1_000)
    bulk, single = story.call([own], most=10), story.call([own], most=10)
    story.submit(bulk, 60, size=40)
    large, = story.submit(single, 1, size=3_000)
    for _ in range(100):
        if story.flying:
            story.answer(usage=Usage(18, 2))
        else:
            story.wait(5.0)
        if large.state not in (QUEUED,):
            break
    assert story.now < 1_000.0 + 130.0


def test_a_lanes_own_limits_hold_inside_the_clients():
    story = Story(rpm=100, slots=100, model_limits={"a": model("a", requests_per_minute=3).limits,
                                                    "b": model("b", concurrent_requests=2).limits})
    story.submit(story.call(["a"]), 10)
    story.submit(story.call(["b"]), 10)
    assert [name for _, _, name in story.started] == ["a"] * 3 + ["b"] * 2
    assert story.answer(next(flight.task for flight in story.flying if flight.task.model == "b")) != []
    assert sum(flight.task.model == "b" for flight in story.flying) == 2


def test_limits_of_a_model_replace_the_defaults_one_by_one():
    free, open_requests = model("free", requests_per_minute=float("inf"), tokens_per_minute=float("inf")), \
        model("half", requests_per_minute=float("inf"))
    story = Story(rpm=5, tpm=2_000, slots=1_000, default_limits=True)
    story.submit(story.call([free], most=10), 50)
    assert len(story.flying) == 50
    story.submit(story.call([open_requests], most=182), 50)  # 200 tokens each
    assert len(story.flying) == 60
    story.submit(story.call(["b"], most=10), 10)
    assert len(story.flying) == 60, "nobody overtakes what the default tokens refuse"
    story.submit(story.call([free], most=10), 20)
    assert len(story.flying) == 80, "but those for which they do not hold"


def test_limits_that_the_user_chose_hold_for_every_model():
    free = model("free", requests_per_minute=float("inf"), tokens_per_minute=float("inf"))
    story = Story(rpm=5, tpm=100_000, slots=1_000, default_limits=True)
    call = story.call([free])
    story.submit(call, 20)
    story.scheduler.set_limits(story.now, requests_per_minute=5, tokens_per_minute=100_000, slots=30)
    story.submit(call, 20)
    assert len(story.flying) == 30, "only the slots were changed"
    story.scheduler.set_limits(story.now, requests_per_minute=50, tokens_per_minute=None, slots=1_000)
    story.submit(call, 100)
    assert len(story.flying) == 80


def test_raised_limits_are_in_force_at_once():
    story = Story(rpm=5, slots=1_000)
    story.submit(story.call(), 50)
    story.scheduler.set_limits(story.now, requests_per_minute=25, tokens_per_minute=None, slots=1_000)
    assert len(story.wait(1.0)) == 20
    story.scheduler.set_limits(story.now, requests_per_minute=None, tokens_per_minute=None, slots=1_000)
    assert len(story.step()) == 25


def test_a_prompt_above_a_whole_minutes_tokens_fails_alone():
    story = Story(tpm=1_000)
    whale, = story.submit(story.call(), 1, size=9_000)
    story.submit(story.call(), 1, size=40)
    assert story.kind(whale) == "too_large"
    assert story.responses[whale.id].attempts == ()
    assert len(story.flying) == 1


def test_what_was_never_sent_costs_no_quota():
    story = Story(rpm=2, slots=10)
    call = story.call()
    story.submit(call, 3)
    assert len(story.flying) == 2
    story.flight().switch.sent_at = 0.0
    assert len(story.fail("connection", sent=False)) == 1


def test_long_replies_do_not_hold_their_minute_open():
    story = Story(rpm=10, slots=100)
    story.submit(story.call(timeout=600.0), 20)
    assert len(story.flying) == 10
    assert len(story.wait(60.6)) == 10, "the first ten left more than a minute ago, though none of them has come back"


def test_a_lane_starts_no_more_while_its_first_requests_have_not_left():
    story = Story(rpm=600, slots=100)
    story.submit(story.call(), 60)
    assert len(story.flying) == 10
    for flight in story.flying:
        flight.switch.sent_at = 0.0
    assert story.wait(0.4) == []
    for flight in story.flying:
        flight.switch.sent_at = story.now
    assert story.wait(0.24) == [] and len(story.wait(0.05)) == 10


def test_the_ramp_is_a_reason_to_wake_up():
    story = Story(slots=1_000)
    story.submit(story.call(), 1_000)
    assert len(story.flying) == 100
    assert story.scheduler.wake_at == pytest.approx(story.now + 0.05)
    story.wait(1.0)
    assert len(story.flying) == 1_000


# ---------------------------------------------------------------------- 429s, cooldowns, patience


def test_one_429_delays_only_its_prompt():
    story = Story(slots=1)
    first, second, third = story.submit(story.call(), 3)
    assert story.fail("rate_limit", first, after=5.0) == [second.id]
    story.answer(second)
    assert [flight.task.id for flight in story.flying] == [third.id]
    story.answer(third)
    assert story.scheduler.backing_off == 1
    assert story.wait(4.9) == []
    assert story.wait(0.2) == [first.id]
    story.answer()
    assert story.tried(first) == [("a", "rate_limit"), ("a", None)]
    assert story.tracker.snapshot().retries_by_kind == {"rate_limit": 1}


def test_a_retry_keeps_its_number():
    story = Story(slots=1)
    first, *rest = story.submit(story.call(backoff=0.5), 5)
    story.fail("server", first)
    story.wait(1.0)
    assert story.answer() == [first.id]


def test_three_in_a_row_cool_the_lane_and_no_other_one():
    story = Story(slots=12)
    tasks = story.submit(story.call(backoff=0.1), 15)
    for task in tasks[:3]:
        story.fail("rate_limit", task, after=20.0)
    assert [level for level, text, _ in story.scheduler.messages if "cools" in text] == ["INFO"]
    waiting = story.scheduler.waiting
    assert story.wait(19.0) == []
    assert repr(story).endswith("limited by cooldown>")
    assert story.scheduler.waiting == waiting
    beside, = story.submit(story.call(["b"]))
    assert story.started[-1] == (story.now, beside.id, "b")
    story.answer(beside)
    for flight in list(story.flying):
        story.answer(flight.task)
    assert story.wait(5.0) != []


def test_cooldowns_burn_no_attempts_up_to_the_patience():
    story = Story()
    task, = story.submit(story.call(max_attempts=2, rate_limit_patience=100.0, backoff=10.0))
    for _ in range(8):
        story.fail("rate_limit")
        story.wait(10.1)
    assert len(story.flying) == 1
    for _ in range(30):
        if not story.flying:
            break
        story.fail("rate_limit")
        story.wait(80.0)
    assert story.kind(task) == "rate_limit"
    assert story.now - 1_000.0 < 400.0


def test_a_retry_after_beyond_the_patience_closes_the_lane_and_its_queue_ends_at_once():
    story = Story(slots=2)
    call = story.call()
    tasks = story.submit(call, 5)
    story.fail("rate_limit", tasks[0], after=3_600.0)
    assert {story.kind(task) for task in (tasks[0], *tasks[2:])} == {"rate_limit"}
    assert story.responses[tasks[4].id].attempts == ()
    late, = story.submit(call)
    assert "3600 s" in story.responses[late.id].error_message
    story.answer(tasks[1])
    story.now += 3_601.0
    again, = story.submit(call)
    assert story.flight().task is again, "it reopens by itself"


def test_a_closed_lanes_queue_hops_where_there_is_another_model():
    story = Story(slots=2)
    tasks = story.submit(story.call(["a", "b"], weights=[1, 0]), 5)
    story.fail("rate_limit", tasks[0], after=3_600.0)
    assert [name for _, _, name in story.started[2:]] == ["b"]
    story.run()
    assert story.tried(tasks[0]) == [("a", "rate_limit"), ("b", None)]
    assert story.tried(tasks[4]) == [("b", None)]


def test_a_cooling_lane_sends_its_prompts_to_the_fallbacks_and_to_nobody_else():
    story = Story(slots=4)
    plain = story.submit(story.call(["a", "c"], weights=[1, 0]), 2)
    tasks = story.submit(story.call(["a", "b"], weights=[1, 0], fallbacks=["b"], backoff=0.1), 8)
    for task in plain + tasks[:1]:
        story.fail("rate_limit", task, after=50.0)
    assert {name for _, _, name in story.started[6:]} == {"b"}
    story.submit(story.call(["a", "b"], weights=[1, 0], fallbacks=["b"]), 1)
    story.run()
    assert story.tried(tasks[0]) == [("a", "rate_limit"), ("b", None)]
    assert story.tried(tasks[7]) == [("b", None)]
    assert story.tried(plain[0]) == [("a", "rate_limit"), ("a", None)]


def test_a_header_that_says_nothing_is_left_is_believed_for_a_minute():
    story = Story(slots=1)
    first, second = story.submit(story.call(), 2)
    assert story.answer(first, limits=RateLimitInfo((Quota("requests", 100, 0, 6 * 3_600.0),))) == []
    assert story.wait(59.0) == []
    assert story.wait(10.0) == [second.id]


def test_a_cooldown_is_told_to_whoever_shares_the_quota_and_heard_from_them():
    story, other = Story(), Story()
    story.scheduler.notices = []
    story.submit(story.call(), 4)
    for _ in range(3):
        story.fail("rate_limit", after=5.0)
    [notice] = story.scheduler.notices
    assert notice.model == "a" and "a key" not in repr(notice)
    assert notice.cooling_until == story.scheduler.lanes["a", "a key"].health.cooling_until >= story.now + 5.0
    other.scheduler.told(notice, other.now)
    other.submit(other.call(), 20)
    assert not other.flying, "it knew before it had a lane"
    started = other.wait(notice.cooling_until - other.now + 0.6)
    assert other.started[0][0] >= notice.cooling_until and 1 <= len(started) <= 4, "spread, and few at a time"
    other.scheduler.told(notice, other.now)
    assert other.scheduler.lanes["a", "a key"].health.cooldowns == 1, "old news says nothing"


def test_an_empty_account_fails_at_once_or_hops():
    story = Story()
    alone, = story.submit(story.call())
    story.fail("quota_exhausted")
    assert story.kind(alone) == "quota_exhausted"
    hopping, = story.submit(story.call(["a", "b"]))
    story.fail("quota_exhausted")
    story.answer()
    assert story.tried(hopping) == [("a", "quota_exhausted"), ("b", None)]


# ---------------------------------------------------------------------- failures, hops, attempts


@pytest.mark.parametrize("kind", ["bad_request", "server"])
def test_a_failing_model_is_followed_by_the_other_one(kind):
    story = Story()
    task, = story.submit(story.call(["a", "b"], weights=[1, 0]))
    assert story.fail(kind) == [task.id]
    story.answer()
    assert story.tried(task) == [("a", kind), ("b", None)]
    assert not story.responses[task.id].is_error


def test_a_bad_request_is_not_sent_again_to_the_same_model():
    story = Story()
    task, = story.submit(story.call())
    story.fail("bad_request")
    assert story.tried(task) == [("a", "bad_request")]
    assert story.tracker.snapshot().failed == 1


def test_attempts_count_hops():
    story = Story()
    task, = story.submit(story.call(["a", "b", "c"], max_attempts=2))
    story.fail("bad_request")
    story.fail("bad_request")
    assert story.tried(task) == [("a", "bad_request"), ("b", "bad_request")]
    task, = story.submit(story.call(["a", "b"], max_attempts=3, backoff=1.0))
    for _ in range(3):
        story.fail("server")
        story.wait(1.1)
    assert story.tried(task) == [("a", "server"), ("b", "server"), ("b", "server")]


def test_a_retry_waits_and_holds_no_slot():
    story = Story(slots=1)
    first, second = story.submit(story.call(), 2)
    assert story.fail("server", first) == [second.id]
    assert (story.scheduler.running, story.scheduler.backing_off) == (1, 1)
    assert story.scheduler.wake_at == story.now + 1.0


def test_timeouts_are_retried_twice_and_counted_as_possibly_billed():
    story = Story()
    task, = story.submit(story.call(max_attempts=9))
    for _ in range(3):
        story.fail("timeout")
        story.wait(1.1)
    assert story.tried(task) == [("a", "timeout")] * 3
    assert story.responses[task.id].possibly_billed
    assert story.tracker.snapshot().possibly_billed == 3


def test_what_may_have_been_billed_is_not_repeated_when_that_is_asked_for():
    story = Story()
    lost, = story.submit(story.call(["a", "b"], retry_possibly_billed=False))
    story.fail("connection", stale=True)
    assert story.tried(lost) == [("a", "connection")]
    unsent, = story.submit(story.call(retry_possibly_billed=False))
    story.fail("connection", sent=False)
    story.wait(1.1)
    story.answer()
    assert story.kind(unsent) is None


def test_a_dead_idle_connection_is_forgiven_once():
    story = Story()
    task, = story.submit(story.call(max_attempts=2))
    assert story.fail("connection", stale=True) == [task.id], "at once"
    assert story.flying[0].switch.fresh, "and not on the next idle connection, which may be dead too"
    story.fail("connection", stale=True)
    story.wait(1.1)
    story.fail("connection")
    response = story.responses[task.id]
    assert [attempt.possibly_billed for attempt in response.attempts] == [True, True, True]


def test_no_file_descriptor_burns_no_attempt():
    story = Story()
    task, = story.submit(story.call(max_attempts=1))
    for _ in range(5):
        story.fail("connection", crowded=True, sent=False)
        assert story.wait(CROWDED_WAIT + 0.01) == [task.id]
    story.answer()
    assert not story.responses[task.id].is_error


def test_no_retry_and_no_hop_after_the_first_piece_of_a_stream():
    for kind in ("connection", "rate_limit", "server"):
        story = Story()
        task, = story.submit(story.call(["a", "b"]))
        story.fail(kind, streamed=True)
        assert story.tried(task) == [("a", kind)]


def test_tokens_of_failed_attempts_are_in_the_sums():
    story = Story()
    task, = story.submit(story.call())
    story.fail("parse", usage=Usage(7, 3))
    story.wait(1.1)
    story.answer(usage=Usage(10, 5))
    assert story.responses[task.id].usage == Usage(17, 8) == story.tracker.usage
    other, = story.submit(story.call(backoff=50.0))
    story.fail("parse", usage=Usage(7, 3))
    story.scheduler.cancel(other, story.now)
    story.step()
    assert story.responses[other.id].usage == Usage(7, 3)
    assert story.tracker.usage == Usage(24, 11)


# ---------------------------------------------------------------------- blocklist


def test_a_model_is_blocklisted_when_a_second_prompt_confirms():
    story = Story(slots=3)
    call = story.call()
    tasks = story.submit(call, 6)
    story.refuse(tasks[0])
    assert not story.scheduler.blocklisted("a")
    assert len(story.flying) == 3
    story.refuse(tasks[1])
    assert story.scheduler.blocklisted("a")
    assert {story.kind(task) for task in tasks[4:]} == {"auth"}, "what is queued fails unsent"
    story.refuse(tasks[2])
    story.refuse(tasks[3])
    assert sum("blocklisted" in text for _, text, _ in story.scheduler.messages) == 1, "one clear line"
    late, = story.submit(call)
    assert "blocklisted" in story.responses[late.id].error_message
    assert story.scheduler.running == 0


def test_the_error_of_a_blocklisted_model_is_that_of_its_refusal():
    story = Story()
    call = story.call()
    for task in story.submit(call, 2):
        story.refuse(task, "not_found")
    late, = story.submit(call)
    assert story.kind(late) == "not_found"


def test_an_answer_between_two_refusals_clears_the_model():
    story = Story()
    tasks = story.submit(story.call(), 3)
    story.refuse(tasks[0])
    story.answer(tasks[1])
    story.refuse(tasks[2])
    assert not story.scheduler.blocklisted("a")


def test_the_queue_of_a_blocklisted_model_hops():
    story = Story(slots=2)
    tasks = story.submit(story.call(["a", "b"], weights=[1, 0]), 4)
    story.refuse(tasks[0])
    story.refuse(tasks[1])
    story.run()
    assert [story.tried(task)[-1] for task in tasks] == [("b", None)] * 4


def blocked(**call):
    story = Story()
    made = story.call(**call)
    for task in story.submit(made, 2, prefer="a"):
        story.refuse(task)
        if story.flying and story.flight().task is task:
            story.answer(task)
    assert story.scheduler.blocklisted("a")
    return story, made


def test_one_prompt_probes_a_blocklisted_model_after_five_minutes():
    story, call = blocked()
    story.now += 299.0
    assert story.kind(story.submit(call)[0]) == "auth"
    story.now += 2.0
    probe, other = story.submit(call, 2)
    assert [flight.task for flight in story.flying] == [probe]
    assert story.kind(other) == "auth"
    story.refuse(probe)
    story.now += 200.0
    assert story.kind(story.submit(call)[0]) == "auth", "another five minutes"
    story.now += 101.0
    story.submit(call)
    story.answer()
    assert not story.scheduler.blocklisted("a")
    assert len(story.submit(call, 5)) == len(story.flying)


@pytest.mark.parametrize("end", ["server", "cancel", "timeout"])
def test_a_probe_that_says_neither_yes_nor_no_leaves_the_turn_to_the_next_one(end):
    story, call = blocked(max_attempts=1, retry_timeouts=0)
    story.now += 301.0
    probe, = story.submit(call)
    if end == "cancel":
        story.scheduler.cancel(probe, story.now)
        story.step()
    else:
        story.fail(end, probe)
    assert story.scheduler.blocklisted("a")
    second, = story.submit(call)
    assert second.id not in story.responses
    story.answer(second)
    assert not story.scheduler.blocklisted("a")


def test_a_prompt_that_hops_may_be_the_probe():
    story, call = blocked(models=["a", "b"])
    story.now += 301.0
    task, = story.submit(call, prefer="b")
    story.fail("bad_request", task)
    assert story.flight(task).lane.model == "a"
    story.answer(task)
    assert not story.scheduler.blocklisted("a")


# ---------------------------------------------------------------------- deadlines and cancels


def test_a_deadline_stops_the_attempt_and_gives_its_worker_up_when_it_does_not_come_back():
    story = Story(slots=1)
    task, = story.submit(story.call(timeout=30.0))
    assert story.scheduler.wake_at == story.now + 30.0
    flight = story.flight()
    story.wait(30.0)
    assert flight.switch.stopped == ["timeout"]
    assert story.scheduler.abandoned == []
    assert story.scheduler.wake_at == pytest.approx(story.now + GRACE)
    story.wait(GRACE)
    assert story.scheduler.abandoned == [flight]
    assert story.scheduler.wake_at == float("inf")


@pytest.mark.parametrize("again", [False, True], ids=["waiting", "under way"])
def test_the_answer_of_a_worker_that_was_given_up_is_not_bought_again(again):
    story = Story()
    task, = story.submit(story.call())
    lost = story.flight()
    story.wait(30.0 + GRACE)
    story.fail("timeout")
    if again:
        story.wait(1.1)
    second = story.flight() if again else None
    story.flying.insert(0, lost)
    story.answer(usage=Usage(10, 5))
    assert story.kind(task) is None and story.responses[task.id].usage == Usage(10, 5)
    if second is not None:
        assert second.switch.stopped == ["cancelled"] and story.tried(task)[1:] == [("a", "cancelled"), ("a", None)]
        story.fail("cancelled")
    story.wait(5.0)
    assert not story.flying and story.scheduler.running == 0 and story.scheduler.backing_off == 0
    assert story.tracker.usage == Usage(10, 5) and not story.scheduler.late


def test_cancel_queued_and_in_backoff():
    story = Story(slots=1)
    first, second, third = story.submit(story.call(), 3)
    assert story.scheduler.cancel(second, story.now)
    assert not story.scheduler.cancel(second, story.now)
    assert story.fail("server", first) == [third.id]
    assert story.scheduler.cancel(first, story.now)
    story.answer()
    assert story.wait(5.0) == []
    assert (story.kind(first), story.kind(second), story.kind(third)) == ("cancelled", "cancelled", None)
    assert story.tried(first) == [("a", "server")]
    assert story.responses[second.id].attempts == ()
    scheduler = story.scheduler
    assert (scheduler.running, scheduler.waiting, scheduler.backing_off) == (0, 0, 0)


def test_cancel_in_flight_stops_the_attempt_keeps_the_slot_and_counts_a_late_answer_once():
    story = Story(slots=1)
    first, second = story.submit(story.call(), 2)
    flight = story.flight()
    assert story.scheduler.cancel(first, story.now)
    assert story.step() == [], "the slot comes back with the worker"
    assert flight.switch.stopped == ["cancelled"]
    assert story.responses[first.id].possibly_billed
    assert story.tracker.snapshot().possibly_billed == 1
    assert story.answer(first, usage=Usage(10, 5)) == [second.id]
    assert [(task.id, response.is_error) for task, response in story.scheduler.late] == [(first.id, False)]
    story.answer(second, usage=Usage(1, 1))
    assert story.tracker.usage == Usage(11, 6)
    assert story.tracker.snapshot().cancelled == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_late_answer_tells_of_what_no_record_has_told_of(cancelled):
    story = Story()
    task, = story.submit(story.call(max_attempts=2))
    story.fail("parse", usage=Usage(7, 3))
    story.wait(1.1)
    lost = story.flight()
    if cancelled:  # which is not recorded
        story.scheduler.cancel(task, story.now)
        story.step()
    else:
        story.wait(30.0 + GRACE)
        story.fail("timeout")  # its worker is given up
        story.flying.append(lost)
    assert story.kind(task) == ("cancelled" if cancelled else "timeout")
    assert story.responses[task.id].usage == Usage(7, 3)
    story.answer(usage=Usage(10, 5))
    (_, late), = story.scheduler.late
    kinds = [attempt.kind for attempt in late.attempts]
    if cancelled:
        assert (late.usage, kinds) == (Usage(17, 8), ["parse", "cancelled", None])
    else:
        assert (late.usage, kinds) == (Usage(10, 5), [None]), "the record of the failure has the rest"
    assert story.tracker.usage == Usage(17, 8)


def test_the_reservation_of_a_cancelled_attempt_stays_charged():
    story = Story(rpm=1)
    first, second = story.submit(story.call(), 2)
    story.scheduler.cancel(first, story.now)
    story.fail("cancelled", first)
    assert story.wait(60.0) == []
    assert story.wait(0.6) == [second.id]


def test_a_calls_timeout_ends_all_of_it_and_nothing_else():
    story = Story(slots=3)
    call, other = story.call(), story.call()
    tasks = story.submit(call, 10)
    story.scheduler.ends_at(call, story.now + 5.0)
    beside, = story.submit(other)
    story.fail("server", tasks[0])
    story.wait(5.0)
    assert {story.kind(task) for task in tasks} == {"cancelled"}
    assert "timeout" in story.responses[tasks[9].id].error_message
    late, = story.submit(call)
    assert story.kind(late) == "cancelled"
    story.run()
    assert story.kind(beside) is None


def test_cancelling_a_call_in_the_middle_of_a_refusal_frees_the_others():
    story = Story(slots=100, rpm=1_000)
    own = model("a", tokens_per_minute=1_000)
    call, other = story.call([own], most=10), story.call([own], most=10)
    story.submit(call, 1, size=2_400)
    story.submit(call, 5, size=3_000)
    small = story.submit(other, 2, size=40)
    assert len(story.flying) == 1
    assert story.scheduler.cancel_call(call, story.now) == 6
    assert story.step() == [task.id for task in small]


# ---------------------------------------------------------------------- jobs


def test_a_job_holds_no_slot_between_polls_and_polls_go_first_and_cost_no_quota():
    story = Story(slots=1, rpm=2)
    call = story.call()
    job, second = story.submit(call, 2)
    story.now += 1.0
    assert story.poll_later(5.0) == [second.id]
    third, = story.submit(call)
    story.wait(5.5)
    assert len(story.scheduler.polls) == 1
    assert story.answer(second) == [job.id], "a poll goes before a new start"
    assert story.flight().polling
    story.now += 1.0
    story.poll_later(5.0)
    story.wait(5.0)
    story.answer(job, usage=Usage(100, 50))
    response = story.responses[job.id]
    assert len(response.attempts) == 1
    assert response.queued == 0.0
    assert response.latency == pytest.approx(story.now - 1_000.0)
    assert third.state == QUEUED
    story.run()
    assert story.scheduler.bucket.snapshot(story.now).used_requests <= 2


def test_polls_respect_the_slots_of_their_lane():
    story = Story(slots=10)
    own = model("a", concurrent_requests=1)
    call = story.call([own])
    jobs = story.submit(call, 3)
    for job in jobs:
        story.poll_later(1.0, job)
    assert story.wait(1.0) == [jobs[0].id]
    assert story.answer(jobs[0]) == [jobs[1].id]


@pytest.mark.parametrize("when", ["waiting", "polling", "time is up"])
def test_a_job_that_is_given_up_is_told_so_and_may_be_billed(when):
    story = Story()
    task, = story.submit(story.call(background=8.0 if when == "time is up" else None))
    exchange = object()
    story.poll_later(5.0, exchange=exchange)
    if when == "waiting":
        story.scheduler.cancel(task, story.now)
        story.step()
    elif when == "polling":
        story.wait(5.0)
        story.scheduler.cancel(task, story.now)
        story.step()
        assert story.scheduler.cleanups == []
        story.poll_later(5.0, exchange=exchange)
    else:
        story.wait(5.0)
        story.poll_later(5.0, exchange=exchange)
    assert story.scheduler.cleanups == [task]
    assert task.exchange is exchange
    assert story.kind(task) == ("timeout" if when == "time is up" else "cancelled")
    assert story.responses[task.id].possibly_billed
    assert story.tracker.snapshot().possibly_billed == 1
    assert story.wait(20.0) == []
    assert (story.scheduler.running, story.scheduler.backing_off) == (0, 0)


def test_a_job_whose_poll_is_lost_is_not_started_again():
    story = Story()
    task, = story.submit(story.call())
    story.poll_later(1.0)
    story.wait(1.0)
    story.wait(30.0 + GRACE)
    assert len(story.scheduler.abandoned) == 1
    story.fail("timeout", task)
    assert story.kind(task) == "timeout"


def test_polls_never_blocklist():
    story = Story()
    jobs = story.submit(story.call(), 2)
    for job in jobs:
        story.poll_later(1.0, job)
    story.wait(1.0)
    for job in jobs:
        story.refuse(job, "not_found")
    assert not story.scheduler.blocklisted("a")


# ---------------------------------------------------------------------- wake-ups, memory, the gauge


EVENTS = st.lists(st.tuples(st.sampled_from(["submit", "large", "b", "answer", "server", "429", "cancel", "pass"]),
                            st.floats(0.0, 3.0)), min_size=5, max_size=60)


@settings(max_examples=80, deadline=None)
@given(EVENTS)
def test_nothing_could_have_started_before_the_wake_up_that_was_asked_for(events):
    story = Story(slots=6, rpm=8, tpm=3_000)
    own = model("b", requests_per_minute=4, concurrent_requests=2)
    calls = [story.call(most=50), story.call([own], most=50), story.call(["a", own], most=50)]
    tasks = []
    for number, (what, gap) in enumerate(events):
        wake_at = story.scheduler.wake_at
        early = min(story.now + gap, wake_at) - 1e-6
        if early > story.now:
            story.now = early
            assert story.step() == [], "a start before the wake-up"
        story.wait(max(0.0, gap))
        if what in ("submit", "large", "b"):
            tasks += story.submit(calls[1 if what == "b" else number % 3], 3, size=4_000 if what == "large" else 80)
        elif what == "cancel" and tasks:
            story.scheduler.cancel(tasks[number % len(tasks)], story.now)
            story.step()
        elif story.flying and what != "pass":
            oldest = story.flight().task
            if oldest.state == ENDED or what == "answer":
                story.answer(oldest)
            else:
                story.fail("rate_limit" if what == "429" else what, oldest, after=2.0 if what == "429" else None)
    story.run()
    assert sorted(story.responses) == sorted(task.id for task in tasks)


def test_a_scheduler_with_nothing_to_do_asks_for_no_wake_up():
    story = Story(rpm=100)
    story.submit(story.call(), 5)
    story.run()
    story.now += 31.0
    story.step()
    assert story.scheduler.wake_at == float("inf")


def test_what_limits_the_run_is_said_whenever_it_is_asked():
    story = Story(rpm=1)
    story.submit(story.call(), 3)
    for _ in range(3):
        story.now += 0.1
        story.step()
        assert story.tracker.limiting_factor == "requests/min"
    story.scheduler.measure(story.now)
    capacity = story.tracker.snapshot().capacity
    assert (capacity.requests_per_minute, capacity.tokens_per_minute, capacity.slots) == (1, float("inf"), 10)
    assert (capacity.remaining_requests, capacity.remaining_tokens) == (0, float("inf"))


class Mark:
    """Hangs on a task and can be watched."""


def test_an_ended_task_is_kept_by_nobody():
    story = Story(slots=2)
    call = story.call(max_attempts=2, backoff=60.0)
    tasks = [task for _ in range(20) for task in story.submit(call, sink=Mark())]
    story.fail("server", tasks[0])
    story.fail("rate_limit", tasks[1], after=200.0)
    story.answer(tasks[2])
    story.poll_later(100.0, tasks[3])
    for task in tasks[:2] + tasks[3:10:2] + tasks[4:10:2]:
        story.scheduler.cancel(task, story.now)
    story.step()
    while story.flying:
        story.answer()
    for task in tasks[12:]:
        story.scheduler.cancel(task, story.now)
    story.step()
    story.scheduler.ends_at(call, story.now + 3_600.0)
    while story.flying:
        story.answer()
    assert len(story.responses) == 20
    story.responses.clear()
    story.scheduler.cleanups.clear()
    story.scheduler.late.clear()
    watched = [weakref.ref(task.sink) for task in tasks]
    calls = weakref.ref(call)
    del task, tasks, call
    gc.collect()
    assert [ref() for ref in watched if ref() is not None] == []
    assert calls() is None, "its timeout does not keep it"


def test_a_task_that_was_answered_needs_no_garbage_collector():
    story = Story()
    task, = story.submit(story.call(), sink=Mark())
    watched = weakref.ref(task.sink)
    del task
    gc.disable()
    try:
        story.answer()
        story.responses.clear()
        assert watched() is None
    finally:
        gc.enable()


def test_cancelled_tasks_do_not_stay_in_queues():
    story = Story(slots=1)
    call = story.call()
    tasks = story.submit(call, 1_000)
    for task in tasks[2:]:
        story.scheduler.cancel(task, story.now)
    assert sum(len(queue) for queue in call.ready.values()) <= 2
    story.scheduler.cancel(tasks[1], story.now)
    assert not call.ready
    backing_off = story.submit(story.call(backoff=300.0), 50)
    story.answer()
    for task in backing_off:
        story.fail("server", task)
    for task in backing_off:
        story.scheduler.cancel(task, story.now)
    assert story.scheduler._timers == []


# ---------------------------------------------------------------------- lanes that nobody needs any more


def keyed(story: Story, key: str, **limits) -> Call:
    """A call with a key of its own."""
    call = story.call([model("a", **limits)])
    call.templates = {name: replace(template, api_key=key) for name, template in call.templates.items()}
    return call


def test_keys_that_are_renewed_leave_no_lanes_behind():
    story = Story(slots=5)
    for number in range(1_000):
        story.submit(keyed(story, f"key {number}", requests_per_minute=5))
        story.answer()
        story.wait(1.0)
        assert len(story.scheduler.lanes) <= 64 + 75, "those of a good minute"
    assert len(story.responses) == 1_000


def test_a_lane_is_kept_until_its_minute_is_over_and_while_something_hangs_on_it():
    story = Story(slots=200)
    one, job = keyed(story, "one", requests_per_minute=1), story.call(["job"], background=600.0)
    story.submit(one)
    story.answer()
    polled, = story.submit(job)
    story.poll_later(300.0)
    refused = keyed(story, "refused")
    for _ in range(2):
        story.submit(refused)
        story.refuse()
    busy, = story.submit(keyed(story, "busy"))
    for number in range(100):
        story.submit(keyed(story, f"key {number}"))
        story.answer(story.flying[-1].task)
    story.wait(59.0)
    story.submit(keyed(story, "early"))
    assert ("a", "one") in story.scheduler.lanes, "within its minute"
    late, = story.submit(one)
    assert late not in [flight.task for flight in story.flying] and len(story.scheduler.lanes) > 100
    story.wait(20.0)
    story.answer(late)
    story.submit(keyed(story, "later"))
    names = {key for _, key in story.scheduler.lanes}
    assert {"one", "refused", "busy", "later"} <= names and not names & {f"key {number}" for number in range(100)}
    assert ("job", "a key") in story.scheduler.lanes, "a job is polled there"
    assert story.scheduler.lanes["a", "refused"].blocked is not None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 40.0)), min_size=5, max_size=40), st.integers(1, 3))
def test_no_key_gets_more_in_a_minute_because_its_lane_was_dropped(steps, limit):
    story = Story(slots=500)
    for number in range(70):
        story.submit(keyed(story, f"key {number}"))
        story.answer()
    calls = [keyed(story, f"mine {number}", requests_per_minute=limit) for number in range(4)]
    began: dict[str, list[float]] = {}
    for number, passed in steps:
        task, = story.submit(calls[number])
        story.wait(passed)
        story.submit(keyed(story, f"other {passed} {len(story.started)}"))
        while story.flying:
            flight = story.flying[0]
            if flight.task.call in calls:
                began.setdefault(str(calls.index(flight.task.call)), []).append(flight.started_at)
            story.answer(flight.task)
    for times in began.values():
        assert all(sum(at <= other < at + 60.0 for other in times) <= limit for at in times)
