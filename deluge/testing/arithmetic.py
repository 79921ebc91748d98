"""Sums in a prompt, worked out exactly. Pure."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

_ASKED = re.compile(
    r"(?:^|\b(?:what is|what's|how much is|calculate|compute|evaluate|solve)\b:?)\s*"
    r"([-+(\d][\d\s.,+\-*/×÷x^()%]*[\d)])\s*=?\s*[?.!]*\s*$", re.IGNORECASE,
)
_SIGN = re.compile(r"\d[\s)]*(?:[-+*/×÷x^%]|multiplied|divided|times|plus|minus)")  # what every sum has, found fast
_WORDS = (("multiplied by", "*"), ("divided by", "/"), ("times", "*"), ("plus", "+"), ("minus", "-"), ("×", "*"),
          ("÷", "/"), ("^", "**"))
_TWO: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Mod: operator.mod, ast.FloorDiv: lambda a, b: Fraction(a // b),
}


def worked_out(text: str) -> int | float | None:
    """The value of the sum that the text asks for (``What is 17 * 23?``); None when it asks for none."""
    if len(text) > 300 or _SIGN.search(text) is None:
        return None
    for word, sign in _WORDS:
        text = text.replace(word, sign)
    found = _ASKED.search(text.strip())
    if found is None:
        return None
    expression = re.sub(r"(?<=\d),(?=\d{3})", "", found.group(1)).replace("x", "*").strip()
    try:
        tree = ast.parse(expression, mode="eval").body
        if not any(isinstance(node, ast.BinOp) for node in ast.walk(tree)):
            return None
        value = _value(tree)
        return value.numerator if value.denominator == 1 else float(value)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return _value(node.operand) * (-1 if isinstance(node.op, ast.USub) else 1)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _TWO:
            return _TWO[type(node.op)](left, right)
    raise ValueError("not a sum")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > 200 or abs(base) > 10**9:
        raise ValueError("too large a power")
    return base ** exponent.numerator
