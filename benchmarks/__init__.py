"""The measurements behind the figures in README, docs and notebooks.

The modules of this folder compare the method with its rivals, on digits and on photographs, and say what it
takes: run them again when the method changes. `studies` holds what answered a question once: is another
default better, does an objection hold? `results` keeps what both measured, as JSON.

Run a module from the root of the repository, such as `python -m benchmarks.rivals`.
"""
