"""The command line: check, fit, classify, review and add, and the folder and pages that they write."""
