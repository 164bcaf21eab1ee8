"""What people see of the running pipeline: alerts, status, costs, and the origin of a prediction.

Here: reading the instance, the lake and the store, and reporting what was found. Not here: the life cycle of an
incident (alerts/), or requesting runs (pipeline/automation/).
"""
