"""A fault drill: twelve faults, one after the other, in a copy of the demo workspace with a live daemon.

    python -m drill                # make drill

Here: the workspace and its clock, the faults, the readers who watch meanwhile, and the report. Not here: tests of
single faults (tests/faults, tests/pipeline), or anything that the project itself does about a fault.
"""

from __future__ import annotations
