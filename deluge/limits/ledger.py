"""The books of a quota: what was reserved, what left the client when, and when room comes back.

Pure: the time is always an argument (monotonic seconds), and one thread owns a ledger. Amounts are whole numbers,
so that an empty window is exactly empty.
"""

from __future__ import annotations

from typing import Literal, Protocol

Mode = Literal["rolling", "bucket"]
State = Literal["pending", "sent", "closed"]

SLOTS = 240  # a window is counted in this many slots, and one more is kept: 0.4 % of the limit pays for O(1)
MIN_WAIT = 0.001  # a float wake-up may come a hair early; shorter waits would spin
UNLIMITED = float("inf")
_ROUNDING = 1e-6  # seconds that a refilling bucket forgives: sums of floats, not requests


class Reservation:
    """Room for one request: ``pending`` until it leaves the client, ``sent``, ``closed`` when its usage is known."""

    __slots__ = ("tokens", "requests", "at", "slot", "state")

    def __init__(self, tokens: int, requests: int, at: float) -> None:
        self.tokens = tokens
        self.requests = requests
        self.at = at
        self.slot = 0
        self.state: State = "pending"

    def __repr__(self) -> str:
        return f"<Reservation {self.state} {self.requests} requests {self.tokens} tokens at {self.at:.3f}>"


class Ledger(Protocol):
    """What a bucket asks of its books, in either mode."""

    def limit(self, requests: float, tokens: float, now: float) -> None:
        """Sets what a window may hold; what is owed stays owed."""

    def wait(self, tokens: int, requests: int, now: float) -> float:
        """Seconds until this much fits; 0.0 when it fits now."""

    def take(self, reservation: Reservation, now: float) -> None:
        """Debits a reservation."""

    def sent(self, reservation: Reservation, at: float) -> None:
        """Counts a reservation from the time when its request left."""

    def refund(self, reservation: Reservation) -> None:
        """Returns all of a reservation."""

    def correct(self, reservation: Reservation, difference: int, now: float) -> None:
        """Adds tokens to a reservation that was sent, or takes them off."""

    def charge(self, requests: int, tokens: int, now: float) -> None:
        """Debits without asking."""

    def used(self, now: float) -> tuple[int, int]:
        """Requests and tokens that count at the moment."""

    def refill_in(self, now: float) -> float:
        """Seconds until something of what is used comes back; 0.0 when nothing is used."""

    def clear(self) -> None:
        """Forgets everything that was used."""


class SlotSums:
    """One resource of a rolling window: a sum per slot, the total, and a cursor that answers "when is so much free?".

    ``used`` also holds what is pending, which is in no slot yet. ``before`` is the sum of the slots up to the cursor:
    the cursor moves only as far as the question changes, so that asking again costs nothing.
    """

    __slots__ = ("limit", "used", "sums", "cursor", "before")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.clear()

    def clear(self) -> None:
        """Empties every slot and forgets what is pending."""
        self.used = 0
        self.sums = [0] * (SLOTS + 1)
        self.cursor = -SLOTS - 1
        self.before = 0

    def place(self, slot: int, amount: int) -> None:
        """Puts an amount that is already in ``used`` into its slot."""
        self.sums[slot % (SLOTS + 1)] += amount
        if slot <= self.cursor:
            self.before += amount

    def turn(self, old_head: int, head: int) -> None:
        """Drops the slots that left the window when its newest slot moved from ``old_head`` to ``head``."""
        sums, size = self.sums, SLOTS + 1
        if head - old_head >= size:
            self.used -= sum(sums)
            self.sums = [0] * size
        else:
            for slot in range(old_head + 1, head + 1):
                gone = sums[slot % size]
                if gone:
                    sums[slot % size] = 0
                    self.used -= gone
                    if slot - size <= self.cursor:
                        self.before -= gone
        if self.cursor <= head - size:
            self.cursor, self.before = head - size, 0

    def leaves(self, need: int | float, head: int) -> int:
        """The slot with which ``need`` will have left; the newest one when the rest is still pending."""
        sums, size, cursor, before = self.sums, SLOTS + 1, self.cursor, self.before
        while before - sums[cursor % size] >= need:
            before -= sums[cursor % size]
            cursor -= 1
        while before < need and cursor < head:
            cursor += 1
            before += sums[cursor % size]
        self.cursor, self.before = cursor, before
        return cursor


class RollingLedger:
    """A strict rolling window: in any ``window`` seconds no more leaves the client than the limit.

    A reservation counts as "now" until it is sent, then from the moment it left. A slot is dropped when its youngest
    possible entry is older than the window, which makes the promise hold in every window, not only in aligned ones.
    """

    __slots__ = ("requests", "tokens", "slot", "head", "turn_at")

    def __init__(self, requests: float, tokens: float, window: float) -> None:
        self.requests, self.tokens = SlotSums(requests), SlotSums(tokens)
        self.slot = window / SLOTS
        self.clear()

    def limit(self, requests: float, tokens: float, now: float) -> None:
        """Sets what a window may hold; what is in it stays."""
        self.requests.limit, self.tokens.limit = requests, tokens

    def wait(self, tokens: int, requests: int, now: float) -> float:
        """0.0 when this much fits now, else the seconds until enough of what was sent leaves the window.

        What is pending is assumed to leave now; when it is settled lower or refunded, room comes earlier: ask again.
        """
        if now >= self.turn_at:
            self._turn(now)
        of_requests, of_tokens = self.requests, self.tokens
        over_requests = of_requests.used + requests - of_requests.limit
        over_tokens = of_tokens.used + tokens - of_tokens.limit
        if over_requests <= 0 and over_tokens <= 0:
            return 0.0
        slot = of_requests.leaves(over_requests, self.head) if over_requests > 0 else -1
        if over_tokens > 0:
            slot = max(slot, of_tokens.leaves(over_tokens, self.head))
        return max(MIN_WAIT, (slot + SLOTS + 1) * self.slot - now)

    def take(self, reservation: Reservation, now: float) -> None:
        """Debits a reservation, which stays in no slot until it is sent."""
        self.requests.used += reservation.requests
        self.tokens.used += reservation.tokens

    def sent(self, reservation: Reservation, at: float) -> None:
        """Moves a pending reservation into the slot of ``at``, or out of the window when that slot has left it."""
        if at >= self.turn_at:
            self._turn(at)
        slot = min(int(at // self.slot), self.head)
        reservation.slot = slot
        if slot + SLOTS < self.head:
            self.requests.used -= reservation.requests
            self.tokens.used -= reservation.tokens
        else:
            self.requests.place(slot, reservation.requests)
            self.tokens.place(slot, reservation.tokens)

    def refund(self, reservation: Reservation) -> None:
        """Returns a reservation, pending or still in its slot."""
        if reservation.state == "sent":
            if reservation.slot + SLOTS < self.head:
                return
            self.requests.place(reservation.slot, -reservation.requests)
            self.tokens.place(reservation.slot, -reservation.tokens)
        self.requests.used -= reservation.requests
        self.tokens.used -= reservation.tokens

    def correct(self, reservation: Reservation, difference: int, now: float) -> None:
        """Corrects the tokens in the reservation's own slot; once that has left, only more of them counts: now."""
        if now >= self.turn_at:
            self._turn(now)
        slot = reservation.slot
        if slot + SLOTS < self.head:
            if difference > 0:
                self.charge(0, difference, now)
            return
        self.tokens.used += difference
        self.tokens.place(slot, difference)

    def charge(self, requests: int, tokens: int, now: float) -> None:
        """Debits without asking, as sent now."""
        if now >= self.turn_at:
            self._turn(now)
        self.requests.used += requests
        self.tokens.used += tokens
        self.requests.place(self.head, requests)
        self.tokens.place(self.head, tokens)

    def used(self, now: float) -> tuple[int, int]:
        """Requests and tokens in the window, pending ones included."""
        if now >= self.turn_at:
            self._turn(now)
        return self.requests.used, self.tokens.used

    def refill_in(self, now: float) -> float:
        """Seconds until the oldest slot in use leaves the window; 0.0 when nothing is used."""
        busy = [sums.leaves(1, self.head) for sums in (self.requests, self.tokens) if sums.used > 0]
        return max(MIN_WAIT, (min(busy) + SLOTS + 1) * self.slot - now) if busy else 0.0

    def clear(self) -> None:
        """Forgets everything that was used."""
        self.requests.clear()
        self.tokens.clear()
        self.head, self.turn_at = 0, float("-inf")

    def _turn(self, now: float) -> None:
        head = int(now // self.slot)
        if self.turn_at != float("-inf"):
            head = max(head, self.head + 1)  # the division may round down where the product says "next slot"
        self.requests.turn(self.head, head)
        self.tokens.turn(self.head, head)
        self.head, self.turn_at = head, (head + 1) * self.slot


class Level:
    """One resource of a refilling bucket: when it will be full again, and what was debited in each slot."""

    __slots__ = ("each", "full_at", "sums")

    def __init__(self, each: float) -> None:
        self.each = each  # seconds of refill for one unit
        self.clear()

    def clear(self) -> None:
        """Fills it."""
        self.full_at = float("-inf")
        self.sums = [0] * (SLOTS + 1)

    def owed(self, now: float) -> float:
        """What is missing, in units."""
        return (self.full_at - now) / self.each if self.each and self.full_at > now else 0.0

    def resize(self, each: float, now: float) -> None:
        """Changes the refill; what is owed stays the same amount."""
        owed, self.each = self.owed(now), each
        self.full_at = now + owed * each

    def debit(self, amount: int, head: int, now: float) -> None:
        """Takes an amount, into debt if need be."""
        if self.full_at < now:
            self.full_at = now
        self.full_at += amount * self.each
        self.sums[head % (SLOTS + 1)] += amount

    def credit(self, amount: int, slot: int, head: int, length: float) -> None:
        """Returns an amount that was debited in a slot.

        A bucket that was full meanwhile would be no fuller without that debit: what the debits from then on would owe
        by themselves stays owed. Slots make that up to one slot's refill too much, never too little.
        """
        sums, size, later, owed_until = self.sums, SLOTS + 1, 0, float("-inf")
        sums[slot % size] -= amount
        for number in range(head, slot - 1, -1):
            if sums[number % size]:
                later += sums[number % size]
                owed_until = max(owed_until, (number + 1) * length + later * self.each)
        self.full_at = min(self.full_at, max(self.full_at - amount * self.each, owed_until))


class RefillLedger:
    """A full bucket that refills continuously; debts are allowed and repaid by the refill (GCRA on floats)."""

    __slots__ = ("requests", "tokens", "window", "slot", "head", "turn_at")

    def __init__(self, requests: float, tokens: float, window: float) -> None:
        self.window, self.slot = window, window / SLOTS
        self.requests, self.tokens = Level(window / requests), Level(window / tokens)
        self.clear()

    def limit(self, requests: float, tokens: float, now: float) -> None:
        """Sets size and refill; the owed amounts stay the same, in requests and tokens."""
        self.requests.resize(self.window / requests, now)
        self.tokens.resize(self.window / tokens, now)

    def wait(self, tokens: int, requests: int, now: float) -> float:
        """Seconds until the bucket holds this much; 0.0 when it does now."""
        level = self.requests
        wait = (level.full_at - now if level.full_at > now else 0.0) + requests * level.each - self.window
        level = self.tokens
        for_tokens = (level.full_at - now if level.full_at > now else 0.0) + tokens * level.each - self.window
        if for_tokens > wait:
            wait = for_tokens
        return 0.0 if wait <= _ROUNDING else max(MIN_WAIT, wait)

    def take(self, reservation: Reservation, now: float) -> None:
        """Debits a reservation."""
        self.charge(reservation.requests, reservation.tokens, now)
        reservation.slot = self.head

    def sent(self, reservation: Reservation, at: float) -> None:
        """Nothing to do: a bucket refills from the moment of the debit."""

    def refund(self, reservation: Reservation) -> None:
        """Returns a reservation, as far as the bucket would be fuller without it."""
        if reservation.slot + SLOTS >= self.head:
            self.requests.credit(reservation.requests, reservation.slot, self.head, self.slot)
            self.tokens.credit(reservation.tokens, reservation.slot, self.head, self.slot)

    def correct(self, reservation: Reservation, difference: int, now: float) -> None:
        """Takes more tokens, into debt if need be, or returns some as far as the bucket would be fuller."""
        if difference > 0:
            self.charge(0, difference, now)
        elif reservation.slot + SLOTS >= self.head:
            self.tokens.credit(-difference, reservation.slot, self.head, self.slot)

    def charge(self, requests: int, tokens: int, now: float) -> None:
        """Debits without asking."""
        if now >= self.turn_at:
            self._turn(now)
        self.requests.debit(requests, self.head, now)
        self.tokens.debit(tokens, self.head, now)

    def used(self, now: float) -> tuple[int, int]:
        """Requests and tokens that are missing from the full bucket."""
        return round(self.requests.owed(now)), round(self.tokens.owed(now))

    def refill_in(self, now: float) -> float:
        """Seconds until one more request or token is there; 0.0 when the bucket is full."""
        left = [level.each for level in (self.requests, self.tokens) if level.full_at > now]
        return max(MIN_WAIT, min(left)) if left else 0.0

    def clear(self) -> None:
        """Fills the bucket."""
        self.requests.clear()
        self.tokens.clear()
        self.head, self.turn_at = 0, float("-inf")

    def _turn(self, now: float) -> None:
        head = int(now // self.slot)
        for slot in range(max(self.head + 1, head - SLOTS), head + 1):
            self.requests.sums[slot % (SLOTS + 1)] = self.tokens.sums[slot % (SLOTS + 1)] = 0
        self.head, self.turn_at = max(head, self.head), (head + 1) * self.slot
