"""The course's own wing: what only the notebooks use, on top of the method and never below it.

`widgets` has the figures that answer (their JavaScript is in `living/`), `checks` says what is right in the
exercises, and `exercises` holds one judge for each of them. `dataset` knows what belongs to the course's own
set of images alone.
"""
