"""Jobs, schedules and sensors: what runs by itself, and when.

Here: requesting runs of what has arrived, is due, is missing or is outdated. Not here: what a stage does
(pipeline/stages/), runs that a command executes (local_runner/), or alerts (pipeline/observing/).
"""
