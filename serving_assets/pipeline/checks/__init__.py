"""The checks that watch the data, one module a concern.

Here: measuring a table against a threshold, giving a verdict with examples. Not here: the stages that ask for it, or
alerts.
"""
