"""The prediction API: what was published, and what can be scored in the request.

Here: one ASGI application and the server that runs it. Not here: making predictions ahead of time (pipeline/), the
protocol of the online store (store/), how a model scores (models/).

Start with serving/app.py (what happens to a request), serving/reading/collection.py (what a process knows of a
published collection), lookup.py and scoring.py (the answers).
"""
