"""DuckDB: the engine of one machine.

Here: the execution of queries and of scorers in this process. Not here: the interface (engines/protocol.py).
"""
