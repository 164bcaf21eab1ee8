"""Runs of assets in the processes of a command, without a daemon.

Here: opening the workspace, running assets, backfills, and the pool of worker processes. Not here: the definitions
(pipeline/), or what a command prints (commands/).
"""
