"""Schema of a JSON file: what entries it must have, and of which kinds."""

from typing import Any

LARGEST = 2**63


def fits(value: Any, form: Any) -> bool:
    """Return whether a value, as JSON gives it, has a form.

    Args:
        value: of Python's own types.
        form: `int`, `float` (which a whole number is, too), `str`, `list` or `dict`; a range for a whole
            number in it; a text, a number or None for itself; `[form]` for a list of such; `{...: form}` for
            a dictionary of such; `{"a": form}` for one that has at least these entries; a tuple of forms for
            one of them.
    """
    match form:
        case tuple():
            return any(fits(value, one) for one in form)
        case [part]:
            return isinstance(value, list) and all(fits(one, part) for one in value)
        case dict():
            if not isinstance(value, dict):
                return False
            if ... in form:
                return all(fits(one, form[...]) for one in value.values())
            return all(name in value and fits(value[name], part) for name, part in form.items())
        case range():
            return type(value) is int and value in form
        case type():
            if form in (int, float):
                return type(value) in (int, form) and abs(value) < LARGEST
            return isinstance(value, form)
    return type(value) is type(form) and bool(value == form)
