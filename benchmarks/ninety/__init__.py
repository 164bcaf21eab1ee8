"""The ninety simulated days of `python -m benchmarks.ninety_days`, part by part.

Here: what happens (life.py), what is broken (faults.py, deliveries.py), what is told (alerting.py), and what it is
worth (scoring.py, report.py). Not here: the product; it runs as it is.
"""
