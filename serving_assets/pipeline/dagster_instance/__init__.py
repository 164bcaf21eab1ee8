"""The one place that depends on private modules of Dagster.

Here: tags, events, materializations, checks, freshness, ticks and processes as plain values, the questions that
automation asks (instance_view.py), and the storage of commands. Not here: any decision about what runs
(pipeline/automation/). What Dagster offers under a public name is used everywhere in the pipeline.
"""
