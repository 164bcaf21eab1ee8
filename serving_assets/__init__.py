"""Raw tables to served predictions, for every model that a team has in production.

Here: the packages of the project; README.md shows how data flows through them. Not here: any code.
"""
