"""Fingerprint of a network: a hash of all that its answers depend on, weights and whatever is no weight.

Two networks of one class and with equal weights still differ by a threshold, a stride, a hook or the code of
`forward`. `fingerprint` hashes weights; `structure` hashes the rest. Neither depends on the machine, the
process or the device, so that a stored fingerprint can be compared with that of a network built anew.
"""

import ast
import dis
import hashlib
import inspect
import io
import sys
import sysconfig
import textwrap
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Classes and functions of libraries are known by their names: an upgrade changes their code, not their use.
LIBRARIES = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
OF_EVERY_MODULE = vars(nn.Module()).keys()
NOT_OF_A_CLASS = {"__module__", "__qualname__", "__dict__", "__weakref__", "__doc__", "__annotations__"}
NOT_OF_A_CLASS |= {"__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__"}
NOT_OF_A_CLASS |= {"_abc_impl"}


def fingerprint(weights: Mapping[str, Any], architecture: str = "") -> str:
    """Return 16 hexadecimal digits that change with any weight: a SHA-256 of names, shapes and contents.

    Args:
        weights: as a module's `state_dict()` gives them.
        architecture: what else makes two networks differ.
    """
    digest = hashlib.sha256(architecture.encode())
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(_bytes(weight) if isinstance(weight, Tensor) else _Description().of(weight).encode())
    return digest.hexdigest()[:16]


def structure(network: nn.Module, without: tuple[str, ...] = (), *, written: bool = False) -> str:
    """Return 16 hexadecimal digits that change with all of a network that is no weight.

    That is its layers and their settings, attributes, buffers that `state_dict()` leaves out, hooks, and code
    of its own with all that the code refers to. Weights count by name, shape and type only.

    Args:
        network: any module; neither the device nor the mode, training or evaluation, counts.
        without: attributes of the network itself that do not count.
        written: whether numbers and texts count that its own code sets when it is asked, such as a counter:
            before it is asked they are settings.
    """
    description = _Description(written)
    description.seen[id(network)] = 0, network
    text = description.of_module(network, without)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _bytes(tensor: Tensor) -> bytes:
    """Return the numbers of a tensor of any type, in their usual order."""
    if tensor.is_meta:
        return b""
    dense = (tensor.to_dense() if tensor.layout != torch.strided else tensor).detach().cpu().contiguous()
    return bytes(dense.reshape(-1).view(torch.uint8).numpy().data)


class _Description:
    """Texts that describe values: equal for equal ones, whichever process they live in."""

    def __init__(self, written: bool = False) -> None:
        self.written = written
        self.seen: dict[int, tuple[int, object]] = {}  # kept alive, so that no other object gets its id

    def of(self, value: Any) -> str:
        """Return a text for any value."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, tuple):
            return f"{type(value).__name__}({', '.join(map(self.of, value))})"
        if isinstance(value, set | frozenset):
            return f"{type(value).__name__}({', '.join(sorted(map(self.of, value)))})"
        if isinstance(value, Tensor):
            return f"tensor {value.dtype} {tuple(value.shape)} {hashlib.sha256(_bytes(value)).hexdigest()}"
        if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        if isinstance(value, torch.device | weakref.ReferenceType) or type(value).__module__ == "_thread":
            return type(value).__name__
        if isinstance(value, ModuleType):  # with its source, if it is one's own
            return f"module {value.__name__} {'' if _is_library(value.__name__) else _source(value)}"
        if isinstance(value, MethodType):
            return f"method {self.of(value.__func__)} of {self.of(value.__self__)}"
        # What may refer to itself, or be referred to from many places, is described where it is met first.
        if id(value) in self.seen:
            return f"<{self.seen[id(value)][0]}>"
        self.seen[id(value)] = len(self.seen), value
        if isinstance(value, nn.Module):
            return self.of_module(value)
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
            return f"{type(value).__name__}{self.of((*value.items(),))}"
        if isinstance(value, list):
            return f"{type(value).__name__}({', '.join(map(self.of, value))})"
        if isinstance(value, FunctionType):
            return self.of_function(value)
        if isinstance(value, property | classmethod | staticmethod):
            parts = (value.fget, value.fset) if isinstance(value, property) else (value.__func__,)
            return f"{type(value).__name__}{self.of(parts)}"
        if isinstance(value, type):
            return self.of_class(value)
        if isinstance(value, BuiltinFunctionType):
            of = value.__self__ if not isinstance(value.__self__, ModuleType) else None
            return f"function {value.__module__}.{value.__qualname__} {self.of(of)}"
        return self.of_object(value)

    def of_module(self, module: nn.Module, without: tuple[str, ...] = ()) -> str:
        """Return a text for a network: class, weights by shape, other buffers, settings, hooks, layers."""
        if isinstance(module, torch.jit.ScriptModule):
            with zipfile.ZipFile(io.BytesIO(module.save_to_buffer())) as file:
                parts = [name for name in file.namelist() if not name.endswith((".debug_pkl", "_id"))]
                return f"script {self.of([(name, file.read(name)) for name in sorted(parts)])}"
        own, forward = vars(module), inspect.unwrap(type(module).forward)
        if "_orig_mod" in own["_modules"]:  # compiled: the same network, in the same words
            return self.of(own["_modules"]["_orig_mod"])
        weights = own["_parameters"] | own["_buffers"]
        shapes = {name: w if w is None else (w.dtype, tuple(w.shape)) for name, w in weights.items()}
        other = {name: own["_buffers"][name] for name in sorted(own["_non_persistent_buffers_set"])}
        written = _names(forward.__code__, "STORE_ATTR") if isinstance(forward, FunctionType) else set()
        written = {name for name in written if not self.counts(own.get(name))}
        names = own.keys() - OF_EVERY_MODULE - {*without} - written
        settings = {name: own[name] for name in sorted(names)}
        hooks = [[*own[name].values()] for name in HOOKS]
        layers = [(name, layer) for name, layer in own["_modules"].items() if name not in without]
        return f"network {self.of((type(module), shapes, other, settings, hooks, layers))}"

    def counts(self, value: object) -> bool:
        """Return whether a value that the network's own code sets counts as a setting."""
        return self.written and isinstance(value, bool | int | float | str)

    def of_function(self, function: FunctionType) -> str:
        """Return a text for a function: its name if a library has it, else its code and what this reads."""
        code, name = function.__code__, f"function {function.__module__}.{function.__qualname__}"
        pairs = zip(code.co_freevars, function.__closure__ or (), strict=True)
        around = {name: cell.cell_contents for name, cell in pairs if _is_filled(cell)}
        given = function.__defaults__, function.__kwdefaults__
        if _of_library(function):  # made within another function: that one's arguments count
            return f"{name} {self.of((given, around))}" if "<locals>" in name else name
        names = sorted(_names(code, "LOAD_GLOBAL", "LOAD_NAME"))
        read = {name: function.__globals__.get(name) for name in names}
        for one in _names(code, "STORE_GLOBAL", "STORE_DEREF"):
            for values in (read, around):
                if one in values and not self.counts(values[one]):
                    del values[one]
        return f"function {code.co_name} {_code(function)} {self.of((given, around, read))}"

    def of_class(self, kind: type) -> str:
        """Return a text for a class: its name if a library has it, else its bases, attributes and methods."""
        if _of_library(kind):
            return f"class {kind.__module__}.{kind.__qualname__}"
        content = {name: part for name, part in vars(kind).items() if name not in NOT_OF_A_CLASS}
        return f"class {kind.__name__} {self.of(kind.__bases__)} {self.of(content)}"

    def of_object(self, value: object) -> str:
        """Return a text for an object, by what a pickle would hold; by its identity if there is none."""
        try:
            reduced = value.__reduce_ex__(4)
            if isinstance(reduced, str):
                return f"{type(value).__qualname__} {reduced}"
            *parts, listed, mapped = (*reduced, None, None, None)[:5]
            return f"object {self.of((parts, [*(listed or ())], [*(mapped or ())]))}"
        except Exception:  # of many kinds: locks, sockets, sessions of other libraries
            return f"{type(value).__qualname__} at {id(value)}"


def _of_library(value: Any) -> bool:
    """Return whether a function or class comes with Python, with this package or with an installed one."""
    return _is_library(value.__module__ or "")


def _is_library(module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == __package__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and any(folder in Path(file).resolve().parents for folder in LIBRARIES)


def _source(module: ModuleType) -> str:
    try:
        return hashlib.sha256(inspect.getsource(module).encode()).hexdigest()
    except (OSError, TypeError):
        return ""


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a variable that has no value yet
        return False


def _names(code: CodeType, *operations: str) -> set[str]:
    """Return the names that some operations of code, and of the functions within it, are about."""
    found = {str(step.argval) for step in dis.get_instructions(code) if step.opname in operations}
    return found.union(*(_names(part, *operations) for part in code.co_consts if isinstance(part, CodeType)))


def _code(function: FunctionType) -> str:
    """Return a function's source without comments and blanks, or its bytecode where no source tells it apart.

    The source stays the same from one version of Python to the next.
    """
    code = function.__code__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError):
        return _bytecode(code)
    kinds = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef | ast.AsyncFunctionDef
    found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    if (
        not found
        or (kinds is ast.Lambda and len(found) > 1)
        or getattr(found[0], "name", "<lambda>") != code.co_name
    ):
        return _bytecode(code)
    return ast.unparse(found[0])


def _bytecode(code: CodeType) -> str:
    constants = [_bytecode(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars))
