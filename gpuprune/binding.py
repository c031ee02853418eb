"""Numba functions bound to their arguments: what a prepared product calls again and again."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba


def bind(function: Any, *arguments: Any) -> Callable[[], None]:
    """Return a call of a compiled function whose arguments never change, arrays' values aside.

    Numba looks up the types of all arguments at every call, for those of `vectors` in Python:
    with cold caches that takes 0.17 ms, as long as the product of a small layer. Here it is done
    once, at the first call, where the function is compiled too.
    """

    @cache
    def compiled() -> Callable[..., None]:
        code: Callable[..., None] = function.compile(tuple(map(numba.typeof, arguments)))
        return code

    return lambda: compiled()(*arguments)
