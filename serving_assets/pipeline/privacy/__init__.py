"""Erasure of persons and retention of old data.

Here: the register of erasures, finding and erasing a person, and removing what is past its retention. Not here: how
rows are deleted from a table (engines/delete_rows.py).
"""
