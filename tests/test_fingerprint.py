"""Networks that answer differently have different fingerprints; equal ones have the same, in any process."""

import copy
import functools
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from metriclearn.fingerprint import fingerprint, structure

FACTOR = 2.0


@dataclass
class Settings:
    factor: float


class Own(nn.Module):
    """A network whose attribute is no weight."""

    def __init__(self, part):
        super().__init__()
        self.part, self.calls = part, 0

    def forward(self, x):
        self.calls += 1  # what it writes when it is asked is no setting
        return x.flatten(1)


class ByGlobal(nn.Module):
    def forward(self, x):
        return x.flatten(1) * FACTOR


def buffer(value):
    network = nn.Flatten()
    network.register_buffer("kept", torch.tensor(value), persistent=False)
    return network


def hooked(factor):
    network = nn.Flatten()
    network.register_forward_hook(lambda module, inputs, output: output * factor)
    return network


def overwritten(factor):
    network = nn.Flatten()
    network.forward = lambda x: x.flatten(1) * factor
    return network


def local(factor):
    class Local(nn.Module):
        def forward(self, x):
            return x.flatten(1) * factor

    return Local()


def one_of(first):
    if first:

        class Net(nn.Module):
            def forward(self, x):
                return x.flatten(1)
    else:

        class Net(nn.Module):
            def forward(self, x):
                return -x.flatten(1)

    return Net()


ON_ONE_LINE = [lambda x: x * 2, lambda x: x + 2, lambda x: x * 3]
PAIRS = {
    "a number": lambda k: Own(k / 2),
    "a text": lambda k: Own(str(k)),
    "a list": lambda k: Own([k, 0]),
    "a dictionary": lambda k: Own({"k": k}),
    "an array": lambda k: Own(np.full(3, k)),
    "a tensor": lambda k: Own(torch.full((3,), float(k))),
    "a dataclass": lambda k: Own(Settings(k)),
    "a function of PyTorch": lambda k: Own((torch.relu, torch.sigmoid)[k - 1]),
    "a function with an argument": lambda k: Own(functools.partial(torch.clamp, min=k)),
    "one of several functions on a line": lambda k: Own(ON_ONE_LINE[k]),
    "a module in a list": lambda k: Own([nn.LeakyReLU(k / 10)]),
    "dropout": lambda k: nn.Dropout(k / 10),
    "an activation": lambda k: nn.LeakyReLU(k / 10),
    "a stride": lambda k: nn.Conv2d(1, 1, 3, stride=k),
    "heads, which no repr shows": lambda k: nn.MultiheadAttention(4, k),
    "a shape of equal bytes": lambda k: nn.Linear(2 * k, 4 // k, bias=False),
    "a buffer that no file holds": lambda k: buffer(float(k)),
    "a hook": hooked,
    "a forward method of its own": overwritten,
    "a variable around the class": local,
    "another class of one name": lambda k: one_of(k == 1),
}


@pytest.mark.parametrize("build", PAIRS.values(), ids=PAIRS)
def test_what_is_no_weight_counts(build):
    one, other = structure(build(1)), structure(build(2))
    assert one != other
    assert structure(build(1)) == one
    assert structure(copy.deepcopy(build(2))) == other


def test_a_global_that_forward_reads_counts(monkeypatch):
    before = structure(ByGlobal())
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert structure(ByGlobal()) != before


def test_what_changes_no_answer_does_not_count():
    network = Own(1.0)
    before = structure(network)
    network(torch.rand(2, 3))
    assert network.calls == 1
    assert structure(network.eval().requires_grad_(False)) == before
    assert structure(pickle.loads(pickle.dumps(network))) == before


def test_a_network_that_refers_to_itself():
    network = Own(None)
    network.part = [network.forward, network.__dict__]
    assert structure(network) == structure(copy.deepcopy(network))


def test_another_process_finds_the_same():
    code = "import test_fingerprint as t; print([t.structure(build(1)) for build in t.PAIRS.values()])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parent,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == f"{[structure(build(1)) for build in PAIRS.values()]}\n"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_weights_of_any_type(dtype):
    weights = {"a": torch.arange(4).to(dtype).reshape(2, 2)}
    before = fingerprint(weights)
    assert (
        fingerprint({"a": weights["a"].contiguous(memory_format=torch.contiguous_format).clone()}) == before
    )
    weights["a"][1, 1] += 1
    assert fingerprint(weights) != before
