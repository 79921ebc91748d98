"""Methods that begin something where they are called on the class, and go on with it where they are called on one."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class begins(Generic[T, P]):
    """A method of ``T`` that may be called on the class too: then on a new, empty one."""

    def __init__(self, method: Callable[Concatenate[T, P], T]) -> None:
        self._method: Any = method
        wrapper: Any = self
        update_wrapper(wrapper, method)

    def __get__(self, instance: T | None, owner: type[T]) -> Callable[P, T]:
        bound: Callable[P, T] = self._method.__get__(owner() if instance is None else instance, owner)
        return bound
