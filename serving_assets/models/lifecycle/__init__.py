"""WHICH version of a model scores, and how it came to.

Here: the registry, the champion and its pointer file, the gate of a promotion. Not here: what a version consists of
(models/bundle.py), or when one is trained and promoted (pipeline/stages/training.py).
"""
