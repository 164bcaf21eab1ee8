"""WHEN and in what order: the Dagster side of the project.

Here: assets, checks, jobs and schedules, generated from the catalog. Not here: what is computed (catalog/, engines/,
models/) or how it is kept (lake/, store/).
"""
