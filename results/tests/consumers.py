"""Reads exported files with the parsers of those they are made for.

usage: consumers.py FOLDER SCHEMAS, where FOLDER holds {run,comparison,history}.FORMAT
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import junitparser
from prometheus_client.openmetrics.parser import text_string_to_metric_families

folder, schemas = Path(sys.argv[1]), Path(sys.argv[2])


def read(kind, form):
    return (folder / f"{kind}.{form}").read_text()


for kind in ("run", "comparison", "history"):
    families = list(text_string_to_metric_families(read(kind, "openmetrics")))
    assert families and all(family.samples for family in families), kind
    assert {family.unit for family in families} <= {"seconds", "ratio"}

    report = junitparser.JUnitXml.fromstring(read(kind, "junit").encode())
    assert sum(suite.tests for suite in report) > 0
    assert sum(suite.failures for suite in report) == sum(
        1 for suite in report for case in suite for found in case.result if isinstance(found, junitparser.Failure)
    )
    failures = sum(suite.failures for suite in report)
    assert failures > 0 if kind == "comparison" else failures == 0, (kind, failures)

    rows = list(csv.DictReader(read(kind, "csv").splitlines()))
    assert rows and all(row["backend"] for row in rows), kind

    # docs of github-action-benchmark: an array of {name, unit, value, range?, extra?}.
    for entry in json.loads(read(kind, "github-action-benchmark")):
        assert set(entry) <= {"name", "unit", "value", "range", "extra"}, entry
        assert isinstance(entry["value"], (int, float)) and isinstance(entry["name"], str)

    # Bencher Metric Format: {benchmark: {measure: {value, lower_value?, upper_value?}}}.
    for measures in json.loads(read(kind, "bencher")).values():
        for metric in measures.values():
            assert set(metric) <= {"value", "lower_value", "upper_value"} and "value" in metric
            low, high = metric.get("lower_value", metric["value"]), metric.get("upper_value", metric["value"])
            assert low <= metric["value"] <= high, (kind, metric)

for kind, schema in (("run", "summary"), ("comparison", "comparison")):
    described = json.loads((schemas / f"{schema}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(described)
    jsonschema.validate(json.loads(read(kind, "json")), described)
    # A schema that takes anything would have passed as well.
    try:
        jsonschema.validate({"schema_version": "one"}, described)
        sys.exit(f"{schema}.schema.json takes anything")
    except jsonschema.ValidationError:
        pass

# Otava reads the history and finds the step that was put into it.
with tempfile.TemporaryDirectory() as work:
    table = Path(work) / "history.csv"
    table.write_text(read("history", "otava"))
    column = "container.ready-from-started"
    assert column in table.read_text().splitlines()[0]
    config = Path(work) / "otava.yaml"
    config.write_text(
        "tests:\n  boot:\n    type: csv\n"
        f"    file: {table}\n    time_column: time\n    attributes: [scenario]\n"
        f"    metrics:\n      ready:\n        column: {column}\n        direction: -1\n"
        "    csv_options:\n      delimiter: ','\n      quotechar: '\"'\n"
    )
    told = subprocess.run(
        [Path(sys.executable).with_name("otava"), "analyze", "boot", "--since", "2025-12-01"],
        env={**os.environ, "OTAVA_CONFIG": str(config)},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert "2026-01-07" in told.stdout and "+50" in told.stdout.replace(" ", ""), told.stdout + told.stderr

print("read by prometheus_client, junitparser, jsonschema, csv and Otava")
