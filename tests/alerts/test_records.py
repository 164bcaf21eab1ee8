"""Rules of what is stored of incidents: the names of fields in the file stay those of the first release."""

from __future__ import annotations

import json
from dataclasses import replace

from serving_assets.alerts.lifecycle import opened
from serving_assets.alerts.records import INCIDENT, Severity
from tests.alerts.incidents import ERROR, finding


def test_an_incident_of_the_first_release_is_read_and_written_under_its_stored_names() -> None:
    """`said`, `looks`, `told` and `told_severity` in the file are message, evaluations and the notified channels."""
    incident = replace(opened(finding(ERROR), 7, "abc-7"), evaluations=3, notified=("it",), notified_severity=ERROR)
    stored = json.loads(INCIDENT.dump_json(incident, by_alias=True))
    assert (stored["last"]["said"], stored["looks"], stored["told"]) == ("PSI of the score is 0.31", 3, ["it"])
    assert stored["told_severity"] == Severity.ERROR
    del stored["resolution"]  # a field that the first release did not have
    assert INCIDENT.validate_json(json.dumps(stored)) == incident
