"""From the latest table to the documents that readers get.

Here: the published documents and their differences, the publisher, the log of activations, rollback and restore. Not
here: the protocol of the online store (store/), or the asset that publishes (pipeline/stages/online.py).
"""
