"""Benchmarks: what a daily run costs at a size that the demo does not have, against what the machine can do.

Here: commands that measure, the growing of data for them, and the tables they wrote. Not here: tests, which never
assert a timing.
"""
