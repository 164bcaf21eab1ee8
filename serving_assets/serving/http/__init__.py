"""The HTTP side of the prediction API: routes, limits, keys, problems, and the OpenAPI document.

Here: the way from bytes to a request, and from an answer to bytes. Not here: what is answered (serving/lookup.py,
serving/scoring.py).
"""
