"""Alerts: incidents, their life cycle, and the delivery of notices.

Here: pure life-cycle rules (lifecycle.py), the durable state (incident_store.py, alerts_file.py), routes and channels
(config.py, channels/), texts (message.py) and delivery (delivery.py). Not here: Dagster, and what counts as a fault;
findings come from pipeline/observing/alert_sensor.py.
"""
