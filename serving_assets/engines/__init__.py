"""Run SQL and score: table in, table out, streaming, so that memory is bounded by a setting and not by a table.

Here: the interface of an engine (protocol.py), one folder for each engine, and what every engine shares. Not here: what
is run (catalog/), when (pipeline/), or how a table is kept (lake/).
"""
