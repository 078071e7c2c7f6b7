"""Default settings of PyTorch and NumPy: what a program has set for itself changes no result here."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

DEVICES = ("cpu", "cuda", "mps", "xpu")  # with an autocast of its own each
_lock = threading.Lock()
_inside = 0  # how many threads and nested calls are in `default_settings` now
_outside = torch.float32  # what the program has set, and gets back when the last of them leaves


@contextmanager
def default_settings() -> Iterator[None]:
    """Compute in float32, on the CPU unless told otherwise, with gradients and without autocast.

    A context, or a decorator of whatever trains, builds or asks a network. It holds whatever
    `torch.set_default_dtype`, `set_default_device`, `set_grad_enabled`, `no_grad`, `inference_mode`,
    `autocast` or `np.seterr` say around it, and leaves them, and the global random numbers, as they were.
    """
    _enter_float32()
    try:
        with ExitStack() as stack:
            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            for kind in DEVICES:
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        _leave_float32()


def _enter_float32() -> None:
    """Set the default type, which all threads share: the first who comes notes what was there."""
    global _inside, _outside
    with _lock:
        if not _inside:
            _outside = torch.get_default_dtype()
            if _outside != torch.float32:
                torch.set_default_dtype(torch.float32)
        _inside += 1


def _leave_float32() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside and _outside != torch.float32:
            torch.set_default_dtype(_outside)
