"""What every online store must do: subclass StoreConformance and give it `store_factory`.

Here: the suite, put together from its parts. Not here: one implementation's faults (test_sqlite.py), or speed.
"""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.store.machine import StoreMachine
from tests.store.rules import StoreFactory
from tests.store.rules_pinning import PinningRules
from tests.store.rules_primitives import PrimitiveRules
from tests.store.rules_publishing import PublishingRules
from tests.store.rules_reading import ReadingRules
from tests.store.rules_sharing import SharingRules
from tests.store.rules_writers import WriterRules


class StoreConformance(PrimitiveRules, ReadingRules, PublishingRules, WriterRules, PinningRules, SharingRules):
    """The suite: each sentence of the protocol is a test. A subclass provides the fixture `store_factory`."""

    def test_readers_see_exactly_one_generation_whatever_happens(self, store_factory: StoreFactory) -> None:
        """After every step of any sequence of publishes, takeovers, late writes and rollbacks, all reads agree."""
        names = map("machine-{}".format, count())
        run_state_machine_as_test(
            lambda: StoreMachine(store_factory, next(names)),  # type: ignore[arg-type]
            settings=settings(
                max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
