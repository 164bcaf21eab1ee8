"""Running the stages: jobs, schedules, and what is done by hand.

Here: when something runs, and over which partitions. Not here: what a stage does.
"""
