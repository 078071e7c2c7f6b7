"""What is right in the exercises, and which hint fits which mistake.

One module per notebook, `notebook_1.py` and so on, with one judge per exercise: the function
`exercise_1_1` for exercise 1.1. A judge takes the learner's answer. It raises `NotYet` with a hint that
fits the mistake, without giving the solution away, or it returns one or two sentences on what the right
answer tells. Below are the few questions that many judges ask.
"""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class NotYet(Exception):  # noqa: N818 (an answer, not an error)
    """The answer is not right yet. The message is a hint."""


class NoAnswer(Exception):  # noqa: N818
    """There is no answer yet: it is still the dots of the exercise."""


def is_missing(answer: object) -> bool:
    """Return whether an answer, or a part of it, is still `...` or None."""
    if isinstance(answer, Mapping):
        return any(is_missing(part) for part in answer.values())
    if isinstance(answer, list | tuple):
        return any(is_missing(part) for part in answer)
    return answer is None or answer is ...


def number(answer: object, name: str, low: float = -np.inf, high: float = np.inf) -> float:
    """Return an answer as a float, once it is one finite number between `low` and `high`.

    Args:
        answer: a number, or an array of one number.
        name: what it is called in the hint, such as "the accuracy".
        low: smallest value that makes sense, not the right answer.
        high: largest value that makes sense.

    Raises:
        NotYet: if it is no number, not finite, or makes no sense.
    """
    if hasattr(answer, "__array__"):  # NumPy's own, or a tensor
        values = plain(answer)
        if values.size != 1:
            raise NotYet(f"{_capital(name)} should be one number, and yours are {values.size}.")
        answer = values.item()
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise NotYet(f"{_capital(name)} should be one number, and yours is a {type(answer).__name__}.")
    value = float(answer)
    if np.isnan(value):
        raise NotYet(f"{_capital(name)} is NaN, not a number: what is divided by 0, or infinite, or empty?")
    if not np.isfinite(value) or not low <= value <= high:
        raise NotYet(f"{_capital(name)} should lie between {low:g} and {high:g}, and yours is {value:.4g}.")
    return value


def count(answer: object, name: str, low: float = 0, high: float = np.inf) -> int:
    """Return an answer that counts something as an integer; a share or a mean gets a hint.

    Raises:
        NotYet: if it is no whole number between `low` and `high`.
    """
    value = number(answer, name, low, high)
    if value != int(value):
        raise NotYet(f"{_capital(name)} is a count, so a whole number, and yours is {value:.4g}.")
    return int(value)


def percent(answer: object, name: str) -> float:
    """Return an answer in percent as a float; a share between 0 and 1 gets a hint.

    Raises:
        NotYet: if it is no number from 0 to 100, or looks like a share.
    """
    value = number(answer, name, 0, 100)
    if 0 < value <= 1:
        raise NotYet(f"{_capital(name)} is asked for in percent, and yours, {value:.3g}, looks like a share.")
    return value


def percents(answer: object, name: str, n: int) -> npt.NDArray[np.float64]:
    """Return n answers in percent, such as the accuracies of n draws, as a float64 array of shape `(n,)`.

    Raises:
        NotYet: if there are not n of them, or one of them is no percentage.
    """
    if isinstance(answer, str | Mapping) or not (isinstance(answer, Sequence) or np.ndim(plain(answer))):
        kind = type(answer).__name__
        raise NotYet(f"{_capital(name)} should be a list of {n} numbers, and yours is a {kind}.")
    parts = list(answer) if isinstance(answer, Sequence) else list(plain(answer))
    if len(parts) != n:
        raise NotYet(f"{_capital(name)} should be {n} numbers, one per draw, and yours are {len(parts)}.")
    return np.array([percent(part, name) for part in parts])


def plain(answer: object) -> npt.NDArray[Any]:
    """Return an answer as an array of NumPy, a tensor without its gradient.

    Raises:
        NotYet: if its rows are of different lengths, so that it makes no array.
    """
    if isinstance(answer, torch.Tensor):
        return answer.detach().cpu().numpy()
    try:
        return np.asarray(answer)
    except ValueError:
        raise NotYet("Your rows are of different lengths: they should make one array.") from None


def array(answer: object, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return an answer as an array of numbers of a given shape.

    Raises:
        NotYet: if its shape is another one, or if it holds NaN or no numbers.
    """
    found = plain(answer)
    if found.shape != shape:
        raise NotYet(f"{_capital(name)} should have the shape {shape}, and yours has {found.shape}.")
    if found.dtype.kind not in "biuf":
        raise NotYet(f"{_capital(name)} should hold numbers, and yours is of type {found.dtype}.")
    if np.isnan(found).any():
        raise NotYet(f"In {name} is NaN, not a number: what is divided by 0, or infinite, or empty?")
    return found


def is_of_test(share: float) -> bool:
    """Return whether a percentage can be one of the 1,000 test images: 87.2 can, and 87.25 can not."""
    return abs(10 * share - round(10 * share)) < 0.01


def compare(
    found: float, truth: float, mistakes: Sequence[tuple[float, str]], otherwise: str, atol: float = 0.01
) -> None:
    """Raise the hint of the first mistake that would give what was found, unless it is the truth."""
    if np.isclose(found, truth, rtol=0, atol=atol):
        return
    for value, hint in mistakes:
        if np.isclose(found, value, rtol=0, atol=atol):
            raise NotYet(hint)
    raise NotYet(otherwise)


def entries(answer: object, name: str, keys: Sequence[Any]) -> dict[Any, Any]:
    """Return an answer that is a dictionary with these keys, in their order.

    Raises:
        NotYet: if it is none, or has others.
    """
    if not isinstance(answer, Mapping) or set(answer) != set(keys):
        *most, last = map(repr, keys)
        raise NotYet(f"Keep `{name}` a dictionary with the keys {', '.join(most)} and {last}.")
    return {key: answer[key] for key in keys}


def choice(answer: object, name: str, options: Sequence[object]) -> object:
    """Return an answer that is one of a few; text is compared without regard to capitals.

    Raises:
        NotYet: if it is none of them.
    """
    given = answer.strip().lower() if isinstance(answer, str) else answer
    if given not in options:
        listed = ", ".join(repr(option) for option in options)
        raise NotYet(f"{_capital(name)} should be one of {listed}, and yours is {answer!r}.")
    return given


def call(function: Callable[..., Any], *arguments: object) -> Any:
    """Return what the learner's function gives.

    Raises:
        NotYet: if it is no function, or computes something and returns nothing.
        NoAnswer: if it gives nothing yet.
        Exception: whatever the function raises: the check then says where it crashed.
    """
    if not callable(function):
        raise NotYet("Hand over the function itself, without calling it.")
    result = function(*arguments)
    if result is None and not _is_empty(function):
        raise NotYet("Your function returns nothing: end it with `return` and the result.")
    if is_missing(result):
        raise NoAnswer
    return result


def _is_empty(function: Callable[..., Any]) -> bool:
    """Return whether a function has no body yet but its docstring and dots, as far as one can tell."""
    code = getattr(function, "__code__", None)
    return code is None or len(code.co_code) <= len((lambda: None).__code__.co_code)


def of_guess(guess: float, truth: float, unit: str = "points") -> str:
    """Return one sentence that compares a guess with what was measured."""
    gap = guess - truth
    if abs(gap) < 1:
        return "Your guess was right on the spot."
    size = f"{abs(gap):.0f}"
    units = unit.removesuffix("s") if size == "1" else unit
    return f"Your guess was {size} {units} too {'high' if gap > 0 else 'low'}."


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
