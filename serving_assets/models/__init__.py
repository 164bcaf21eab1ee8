"""HOW a score is made: training, evaluation, and the bundle that batch and API score with.

Here: signature, compiled scorer, parity certificate, reference profile; versions and their promotion in lifecycle/. Not
here: the SQL that makes features (catalog/, engines/), when a model is trained or promoted (pipeline/), or where
predictions are kept (lake/, store/).
"""
