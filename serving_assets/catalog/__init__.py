"""WHAT is served: the teams' declarations and SQL, and the loader that proves them consistent.

Here: sources, mapped tables and use cases, their types, and the reading of SQL. Not here: when anything runs
(pipeline/), where rows are kept (lake/, store/), or Dagster in any form.
"""
