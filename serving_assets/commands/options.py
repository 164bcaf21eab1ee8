"""Arguments and options that several commands share.

Here: how they are named and explained. Not here: any one command.
"""

from __future__ import annotations

from typing import Annotated

import typer

UseCaseArgument = Annotated[
    str, typer.Argument(metavar="USE_CASE", help="Name of the use case, such as purchase_propensity.")
]
EntityArgument = Annotated[str, typer.Argument(metavar="ENTITY", help="Key of the entity, such as a household id.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a screen.")]
DAY_FORMAT = ["%Y-%m-%d"]
