"""The one place that depends on private modules of Dagster.

Here: tags, events, materializations, processes, and the metadata of a step, as plain values for the rest of the
pipeline. Not here: any decision about what runs.
"""
