"""A Python file that lies in no package, as a module."""

import importlib.util


def loaded(path):
    """Run a file, and return what it defines."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
