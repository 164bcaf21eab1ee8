"""Who is told what goes wrong, when, and when it is over: incidents, their life cycle, and the delivery of notices.

Here: pure life-cycle rules (life.py), the durable state (book.py, file.py), routes and channels (config.py, channels/),
texts (message.py) and delivery (delivery.py). Not here: Dagster, and what counts as a fault; findings come from
pipeline/observing/alert_sensor.py.
"""
