"""Input validation: what users pass is checked once, at the public door, and returned in one form.

Arrays, lists, tensors and columns of pandas are all read by position. What does not fit is refused with a
`ValueError` of one sentence, which says what is wrong and what to do, before anything is trained or written.
"""
