"""Mutations: bytes and JSON values with one fault in them, drawn by a seeded generator."""

import copy
import json
from random import Random

ODD_VALUES = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**40,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "0",
    "nan",
    "../../etc/passwd",
    "/dev/zero",
    "\x00",
    "\x1b[31m",
    "\ud800",
    "a" * 5000,
    "=1+1",
    "http://127.0.0.1:9/",
    [],
    [[]],
    {},
    {"": {}},
    [0] * 1000,
)


def flip_bit(data, random):
    """Flip one bit."""
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]


def set_byte(data, random):
    """Set one byte to another value."""
    place = random.randrange(len(data))
    other = (data[place] + random.randrange(1, 256)) % 256
    return data[:place] + bytes([other]) + data[place + 1 :]


def cut(data, random):
    """Leave out the end, as a full disk or a broken copy does."""
    return data[: random.choice([0, random.randrange(len(data))])]


def extend(data, random):
    """Append bytes, or the whole once more."""
    return data + random.choice([b"\0", b"\n", b"x" * random.randrange(1, 5000), data])


def blank(data, random):
    """Fill a stretch with zeros, as a file has it after a power cut."""
    start = random.randrange(len(data))
    end = min(len(data), start + random.choice([1, 16, 512, 4096]))
    return data[:start] + bytes(end - start) + data[end:]


def leave_out(data, random):
    """Leave out a stretch in the middle."""
    start = random.randrange(len(data))
    return data[:start] + data[start + random.choice([1, 2, 16, 512]) :]


def repeat(data, random):
    """Repeat a stretch."""
    start = random.randrange(len(data))
    end = start + random.choice([1, 2, 16, 512])
    return data[:end] + data[start:]


def swap(data, random):
    """Swap two stretches of the same length."""
    n = random.choice([1, 2, 8, 64])
    a, b = sorted(random.randrange(max(1, len(data) - n)) for _ in range(2))
    if b - a < n:
        return flip_bit(data, random)
    return data[:a] + data[b : b + n] + data[a + n : b] + data[a : a + n] + data[b + n :]


def scramble(data, random):
    """Replace the whole by something else."""
    return random.choice([b"", b"\0", b"{}", b"[]", b"null", b"\xff\xfe", random.randbytes(200), bytes(4096)])


BYTES = (flip_bit, flip_bit, flip_bit, set_byte, cut, extend, blank, leave_out, repeat, swap, scramble)


def mutate(data, random):
    """Return bytes with one fault; they differ from those given."""
    while True:
        mutated = random.choice(BYTES)(data, random) if data else random.randbytes(8)
        if mutated != data:
            return mutated


def mutate_number(data, random):
    """Return text with one number in it replaced; a digit damaged is hard to see."""
    digits = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
    if not digits:
        return mutate(data, random)
    place = random.choice(digits)
    other = 48 + (data[place] - 48 + random.randrange(1, 10)) % 10
    return data[:place] + bytes([other]) + data[place + 1 :]


def mutate_json(data, random):
    """Return a JSON value, given as bytes, with one to three of its parts changed, missing or added."""
    value = copy.deepcopy(data)
    for _ in range(random.randint(1, 3)):
        holder, key = random.choice(_places(value))
        what = random.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[str(key) + "x"] = holder.pop(key)
        elif what == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif what == 3 and type(holder[key]) in (int, float):
            holder[key] = random.choice([-holder[key], holder[key] + 1, holder[key] * 1e6, holder[key] / 3])
        elif what == 4:
            holder[key] = copy.deepcopy(random.choice(_values(value)))
        else:
            holder[key] = copy.deepcopy(random.choice(ODD_VALUES))
        if not _places(value):
            break
    return value


def _places(value):
    """Return all places in a JSON value, each as what holds it and the key."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    for key in keys:
        found += _places(value[key])
    return found


def _values(value):
    return [holder[key] for holder, key in _places(value)]


def dump(value):
    """Return a JSON value as bytes, whatever it holds."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def generator(kind, number):
    """Return the generator of one input: the same on each machine, and for each input its own."""
    return Random(f"{kind} {number}")
