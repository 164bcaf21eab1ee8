"""Reading what was published: collections, generations, and the cache of a process.

Here: what a process knows of the published collections and of their documents. Not here: the protocol of the online
store (store/).
"""
