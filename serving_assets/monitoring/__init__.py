"""What the checks compute: pure functions from numbers to findings.

Here: the statistics of volume, typical amounts, null rates, drift and quality, and the rules that turn a number into a
severity. Not here: reading tables, or reporting (pipeline/checks/).
"""
