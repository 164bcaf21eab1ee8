"""Run SQL and score: table in, table out, streaming, so that memory is bounded by a setting and not by a table.

Here: the two verbs and the engines that carry them out, and the reading of landed files. Not here: what is run
(catalog/), when (pipeline/), or how a table is kept (lake/).
"""
