"""HOW a score is made: training, the registry, and the bundle that batch and API score with.

Here: signature, compiled scorer, parity certificate, evaluation, promotion, MLflow. Not here: the SQL that makes
features (catalog/, engines/), when a model is trained or promoted (pipeline/), or where predictions are kept (lake/,
store/).
"""
