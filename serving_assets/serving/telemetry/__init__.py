"""What the API records about itself: logs, metrics, traces, and the prediction log.

Here: recording. Not here: what is recorded about (serving/lookup.py, serving/scoring.py).
"""
