"""The stages in the order in which data flows: raw, mapped, features, training, predictions, historic, latest, online.

Here: one asset factory a module. Not here: the checks that gate them (pipeline/checks/), jobs and schedules
(pipeline/automation/).
"""
