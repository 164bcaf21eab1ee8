"""The channels that alerts are sent on: one file for each kind, one function that sends.

Here: opening a channel (opening.py), the error of all (refusal.py), and the kinds. Not here: when something is sent, or
again (alerts/delivery.py).
"""
