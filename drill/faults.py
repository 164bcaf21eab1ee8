"""The twelve faults: how each is injected, who must notice, and how it is fixed.

Here: one declared object for each. Not here: the order of a play (play.py), or the models that are put in place
(registry_side.py).
"""

from __future__ import annotations

import os
import signal
import time
from datetime import date, datetime, timedelta

from drill.calendar import as_of, at
from drill.play import Drill, Fault
from drill.registry_side import constant_champion, first_champion, no_champion
from drill.world import NAME

TIME_CHANGE = "time_change"
TILLS, COUPONS, CUSTOMERS = "transactions", "coupon_redemptions", "demographics"
RAW, BASKETS = f"raw/{TILLS}", "mapped/baskets"
FEATURES, PREDICTIONS, HISTORIC = (f"{NAME}/{stage}" for stage in ("features", "predictions", "historic"))
ONLINE, DAILY_JOB = f"{NAME}/online", f"jobs/{NAME}_daily"
MONEY = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
LATE = frozenset(
    (asset, "freshness") for asset in (ONLINE, f"{NAME}/latest", f"{NAME}/online_features", RAW, f"raw/{COUPONS}")
)
"""What follows when the deadline passes before the fix."""
BY_REDELIVERY = "upstream delivers the right file; the arrivals sensor and the schedule do the rest"
BY_BACKFILL = "then: serving-assets backfill"
TABLES = frozenset({(RAW, "step_failed"), (f"raw/{COUPONS}", "step_failed")})


def everything_comes(drill: Drill, day: date) -> None:
    """All files, when they are asked for."""
    drill.world.deliver(day)


def tills_arrive_again(drill: Drill, day: date) -> None:
    """The right file of the tills."""
    drill.world.deliver(day, {TILLS: None})


def backfilled(drill: Drill, day: date) -> None:
    """What the runbooks say."""
    drill.settle()
    drill.world.backfill(day)


def tills_deliver(sql: str) -> dict[str, str | None]:
    """A day's sources, that of the tills as `sql` over `t`."""
    return {TILLS: sql, COUPONS: None}


def late(drill: Drill, day: date) -> datetime:
    """The tills deliver after the cut-off."""
    drill.world.deliver(day, {COUPONS: None})
    drill.leap_to(at(day + timedelta(days=1), "05:58"))
    return at(day + timedelta(days=1), "05:00")


def missing(drill: Drill, day: date) -> datetime:
    """Nothing comes until the deadline has passed."""
    morning = day + timedelta(days=1)
    drill.leap_to(at(morning, "05:58"))
    drill.wait_for(lambda: drill.clock.now() > at(morning, "06:03"), "the cut-off has passed")
    drill.leap_to(at(morning, "06:58"))
    return at(morning, "05:00")


def customers_renumbered(drill: Drill, day: date) -> datetime:
    """The customer database gives its households new numbers, so that nobody is found in it."""
    injected = drill.world.deliver_snapshot(
        CUSTOMERS, "SELECT * REPLACE (household_id + 100000 AS household_id) FROM t"
    )
    drill.world.deliver(day)
    return injected


def customers_back(drill: Drill, day: date) -> None:
    """The old numbers, then the day again."""
    drill.world.deliver_snapshot(CUSTOMERS)
    made = drill.observer.newest_event("mapped/households")
    drill.wait_for(lambda: drill.observer.newest_event("mapped/households") > made, "the households are made anew")
    backfilled(drill, day)


def constant(drill: Drill, day: date) -> datetime:
    """Somebody promotes a model that says the same of everybody."""
    constant_champion(drill.observer.platform.registry)
    return drill.world.deliver(day)


def model_gone(drill: Drill, day: date) -> datetime:
    """Somebody removes the champion from the registry."""
    no_champion(drill.observer.platform.registry)
    return drill.world.deliver(day)


def model_back(drill: Drill, day: date) -> None:
    """The first champion again, then the day."""
    first_champion(drill.observer.platform.registry)
    backfilled(drill, day)


def store_down(drill: Drill, day: date) -> datetime:
    """The database ends every connection."""
    drill.database.go_down()
    injected = drill.clock.now()
    drill.world.deliver(day)
    return injected


def store_up(drill: Drill, day: date) -> None:
    """It is back, with all that it held."""
    drill.database.come_back()


def killed(drill: Drill, day: date) -> datetime:
    """Each worker is killed while it writes documents, with the new generation half written."""
    restarted(drill, "store.publish.mid_write")
    return drill.world.deliver(day)


def killed_no_more(drill: Drill, day: date) -> None:
    """The machine is well again; catching up publishes."""
    restarted(drill)


def restarted(drill: Drill, failpoint: str = "") -> None:
    """The pipeline's processes, whose runs die at `failpoint` if one is named."""
    drill.processes.stop("daemon", "code-server")
    drill.processes.start_code_server(failpoint)
    drill.processes.start_daemon()


def stuck(drill: Drill, day: date) -> datetime:
    """The worker of the daily run is stopped, so that it neither ends nor tells anything."""
    drill.world.deliver(day)
    drill.wait_for(lambda: drill.observer.daily_run(day), "the daily run is at work")
    worker = drill.observer.worker(drill.observer.daily_run(day))
    os.kill(worker, signal.SIGSTOP)
    drill.notes["stopped"] = worker
    return drill.clock.now()


def stuck_no_more(drill: Drill, day: date) -> None:
    """The process is ended by its number, as the runbook says; Dagster tries the run again."""
    os.kill(int(str(drill.notes.pop("stopped"))), signal.SIGKILL)


def clocks_go_back(drill: Drill, day: date) -> datetime:
    """The daemon lives through the moment; the Saturday before is scored after it, then the day of 25 hours ends."""
    injected = drill.clock.now()
    time.sleep(40)
    drill.leap_to(at(day, "04:58"))
    drill.world.deliver(day - timedelta(days=1))
    published = as_of(day - timedelta(days=1))
    drill.wait_for(lambda: datetime.fromisoformat(drill.observer.published()[1]) >= published, "Saturday is published")
    drill.leap_to(at(day + timedelta(days=1), "04:58"))
    return injected


def change_begins(day: date) -> datetime:
    """Half a minute before the clocks go back, at two in the morning."""
    return at(day, "01:59:30")


FAULTS = (
    Fault(
        "late_file",
        "the tills' file comes after the cut-off",
        "it comes",
        late,
        tills_arrive_again,
        frozenset({(RAW, "step_failed")}),
        RAW,
        LATE,
    ),
    Fault(
        "missing_file",
        "no file comes at all, also not by the deadline",
        "upstream is called, and delivers",
        missing,
        everything_comes,
        frozenset({(RAW, "step_failed"), (ONLINE, "freshness")}),
        RAW,
        LATE | TABLES,
    ),
    Fault(
        "half_rows",
        "half of the baskets are missing",
        BY_REDELIVERY,
        lambda drill, day: drill.world.deliver(day, tills_deliver("SELECT * FROM t WHERE basket_id % 2 = 0")),
        tills_arrive_again,
        frozenset({(RAW, "volume")}),
        BASKETS,
        LATE,
    ),
    Fault(
        "column_renamed",
        "household_id is now called customer_id",
        BY_REDELIVERY,
        lambda drill, day: drill.world.deliver(
            day, tills_deliver("SELECT * EXCLUDE (household_id), household_id AS customer_id FROM t")
        ),
        tills_arrive_again,
        frozenset({(RAW, "step_failed")}),
        RAW,
        LATE,
    ),
    Fault(
        "euros_to_cents",
        "amounts come in cents",
        BY_REDELIVERY,
        lambda drill, day: drill.world.deliver(
            day, tills_deliver(f"SELECT * REPLACE ({', '.join(f'100 * {c} AS {c}' for c in MONEY)}) FROM t")
        ),
        tills_arrive_again,
        frozenset({(RAW, "typical_amounts")}),
        BASKETS,
        LATE,
    ),
    Fault(
        "null_storm",
        "the customer database renumbers: age, income, persons and kids of everybody are missing",
        f"the old numbers are delivered; {BY_BACKFILL}",
        customers_renumbered,
        customers_back,
        frozenset({(FEATURES, "null_rates")}),
        PREDICTIONS,
        LATE | {(FEATURES, "feature_drift")},
    ),
    Fault(
        "constant_scores",
        "a model that says 0.5 of everybody is made champion",
        f"the first champion again; {BY_BACKFILL}",
        constant,
        model_back,
        frozenset({(PREDICTIONS, "score_drift")}),
        HISTORIC,
        LATE,
    ),
    Fault(
        "model_gone",
        "the registry has no champion any more",
        f"it has again; {BY_BACKFILL}",
        model_gone,
        model_back,
        frozenset({(PREDICTIONS, "step_failed")}),
        PREDICTIONS,
        LATE,
    ),
    Fault(
        "store_down",
        "the database ends every connection",
        "it is back; catching up publishes",
        store_down,
        store_up,
        frozenset({(ONLINE, "step_failed")}),
        ONLINE,
        LATE | {(f"{NAME}/online_features", "step_failed")},
    ),
    Fault(
        "killed_run",
        "every worker is killed in the middle of publishing, three attempts",
        "no more kills; catching up publishes",
        killed,
        killed_no_more,
        frozenset({(f"{NAME}/online_features", "run_died")}),
        ONLINE,
        LATE | {(ONLINE, "run_died")},
    ),
    Fault(
        "stuck_run",
        "the daily run's process is stopped and tells nothing",
        "the process is ended; Dagster tries the run again",
        stuck,
        stuck_no_more,
        frozenset({(DAILY_JOB, "run_stuck")}),
        ONLINE,
        LATE,
        hangs=True,
    ),
    Fault(
        TIME_CHANGE,
        "the clocks go back an hour: a day of 25 hours",
        "none is needed",
        clocks_go_back,
        everything_comes,
        frozenset(),
        "",
        begin=change_begins,
    ),
)
