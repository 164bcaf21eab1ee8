"""The commands behind `serving-assets`, one module each.

Here: what a command does and how it looks. Not here: the stages and jobs that it runs (pipeline/).
"""
