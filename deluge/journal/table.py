"""A map from 64-bit numbers to 64-bit numbers that takes 24 to 48 bytes per entry."""

from __future__ import annotations

from array import array

_LEAST = 1 << 10


class Table:
    """Open addressing in two arrays: a million entries fit where a dict of as many would take a hundred megabytes.

    Keys are 1 to 2**64 - 1, values below 2**63. What is in it stays in it.
    """

    __slots__ = ("_keys", "_values", "_mask", "_used", "_limit")

    def __init__(self) -> None:
        self._used = 0
        self._make(_LEAST)

    def _make(self, size: int) -> None:
        self._keys = array("Q", bytes(8 * size))
        self._values = array("q", bytes(8 * size))
        self._mask = size - 1
        self._limit = size * 2 // 3

    def get(self, key: int) -> int:
        """The key's value; -1 when there is none."""
        keys, mask = self._keys, self._mask
        place = key & mask
        while found := keys[place]:
            if found == key:
                return self._values[place]
            place = (place + 1) & mask
        return -1

    def put(self, key: int, value: int) -> int:
        """Sets the key's value; the one it had before, -1 for none."""
        keys, mask = self._keys, self._mask
        place = key & mask
        while found := keys[place]:
            if found == key:
                before = self._values[place]
                self._values[place] = value
                return before
            place = (place + 1) & mask
        keys[place], self._values[place] = key, value
        self._used += 1
        if self._used > self._limit:
            self._grow()
        return -1

    def _grow(self) -> None:
        old_keys, old_values = self._keys, self._values
        self._make(2 * len(old_keys))
        keys, values, mask = self._keys, self._values, self._mask
        for key, value in zip(old_keys, old_values):
            if key:
                place = key & mask
                while keys[place]:
                    place = (place + 1) & mask
                keys[place], values[place] = key, value

    def __len__(self) -> int:
        return self._used

    def __repr__(self) -> str:
        return f"<Table {self._used:,} entries>"
