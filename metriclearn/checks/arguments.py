"""Validation of arguments: numbers, flags, texts, choices, seeds, devices and folders.

What a function returns is plain Python, and all that may be used afterwards: so no number of NumPy ends in a
file, and a text such as "no" never counts as True. For anything that does not fit each raises a ValueError,
whose message calls the argument by its name.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

Text = TypeVar("Text", bound=str)


def check_count(value: Any, name: str, low: int = 1, high: float = np.inf) -> int:
    """Return a whole number from `low` to `high` as an int, be it Python's, NumPy's or a tensor's."""
    plain = _plain_number(value)
    if type(plain) is not int or not low <= plain <= high:
        raise ValueError(f"{name} is {shown(value)}: choose a whole number {_within(low, high)}.")
    return plain


def check_number(
    value: Any, name: str, low: float = -np.inf, high: float = np.inf, *, without: tuple[float, ...] = ()
) -> float:
    """Return a finite number from `low` to `high` as a float; `without=(0,)` excludes 0 itself."""
    plain = _plain_number(value)
    fits = type(plain) in (int, float) and low <= plain <= high
    if not fits or plain in without or not np.isfinite(plain):
        raise ValueError(f"{name} is {shown(value)}: choose a number {_within(low, high, without)}.")
    return float(plain)


def check_flag(value: Any, name: str) -> bool:
    """Return True or False; a text such as "no" is neither."""
    plain = _plain_number(value)
    if not isinstance(plain, bool):
        raise ValueError(f"{name} is {shown(value)}: choose True or False.")
    return plain


def check_text(value: Any, name: str, *, secret: bool = False) -> str:
    """Return a text that is not empty; a secret one is not shown."""
    if not isinstance(value, str) or not value.strip():
        found = f"a {type(value).__name__}" if secret else shown(value)
        raise ValueError(f"{name} is {found}: pass a text that is not empty.")
    return str(value)


def check_choice(value: Any, name: str, options: Iterable[Text]) -> Text:
    """Return one of a few texts."""
    options = list(options)
    if not isinstance(value, str) or value not in options:
        *most, last = (f'"{option}"' for option in options)
        raise ValueError(f"{name} is {shown(value)}: choose {', '.join(most)} or {last}.")
    return options[options.index(value)]


def check_seed(value: Any) -> int:
    """Return a seed, from 0 to 2**32 - 1, as an int."""
    return check_count(value, "seed", 0, 2**32 - 1)


def check_device(device: Any) -> torch.device:
    """Return where to compute; `"auto"` is the accelerator if there is one, or else the CPU."""
    if isinstance(device, str) and device == "auto":
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # fails on "meta", too, which holds no numbers
    except Exception:  # PyTorch's errors are of many kinds, an AssertionError among them
        raise ValueError(
            f'device is {shown(device)}, which this machine does not have: choose "cpu", or '
            '"auto", which takes the accelerator if there is one.'
        ) from None
    return found


def check_folder(folder: Any) -> Path:
    """Return a folder as a path, `~` replaced by the user's own folder. It need not exist."""
    try:
        path = Path(folder).expanduser()
    except (TypeError, RuntimeError):  # no path, or the folder of a user whom this machine does not have
        path = None
    if path is None or not str(folder).strip() or path.is_file():
        raise ValueError(f"{str(folder)!r} is no folder: pass the path of one, such as 'models/first'.")
    return path


def shown(value: Any) -> str:
    """Return how a value is shown in a message: in one line, cut if long, NumPy's numbers as Python's."""
    text = " ".join(line.strip() for line in repr(_plain_number(value)).splitlines())
    return text if len(text) <= 80 else text[:77] + "..."


def _within(low: float, high: float, without: tuple[float, ...] = ()) -> str:
    """Return the bounds in words, such as "from 1 to 9", "above 0" or "of at least 0 and below 1"."""
    if np.isfinite([low, high]).all() and not without:
        return f"from {low} to {high}"
    lower = f"above {low}" if low in without else f"of at least {low}"
    upper = f"below {high}" if high in without else f"at most {high}"
    return lower if high == np.inf else f"{lower} and {upper}"


def _plain_number(value: Any) -> Any:
    """Return a number of NumPy, or a tensor or array without axes, as Python has it."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0):
        return value.item()
    return value
