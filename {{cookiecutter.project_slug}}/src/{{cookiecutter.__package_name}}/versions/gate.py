"""The gate: whether a candidate is good enough, and no worse than what is live, by the rules of `conf/gate/`."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingError, ProjectError, UnavailableError
from . import derive, interface, record, restore
from .derive import Source
from .progress import Say, silent
from .project import Project
from .registry import Registry
from .restore import package_of
from .yaml_file import read_yaml

#: Metrics of which less is better.
LOSSES = frozenset({"log_loss", "rmse", "mae"})
PREDICTIONS = "predictions/test.parquet"


@dataclass(frozen=True)
class Judge:
    """How numbers are judged: by value, or by the end of the interval that speaks against the candidate."""

    by: str

    def weak(self, entry: dict[str, Any], metric: str, gain: bool = False) -> float | None:
        """Return the number that counts; `gain` says that more is better whatever the metric."""
        against = "high" if metric in LOSSES and not gain else "low"
        counts = entry["value" if self.by == "value" else against]
        return None if counts is None else float(counts)

    def shown(self, entry: dict[str, Any]) -> str:
        if entry["value"] is None:
            return "no value"
        interval = "" if entry["low"] is None else f" [{number(entry['low'])}, {number(entry['high'])}]"
        return f"{number(entry['value'])}{interval}"


def judge(
    project: Project, source: Source, registry: Registry, say: Say = silent, against: str | None = ""
) -> record.Gate:
    """Judge a candidate by the rules of its own `params.yaml`.

    Parameters
    ----------
    project : Project
    source : Source
        The candidate: a commit or the workspace.
    registry : Registry
    say : callable
    against : str or None
        The version to compare with; left out: what the stage holds that the rules name.

    Returns
    -------
    record.Gate
        The verdict, rule by rule. It passed if every rule did.
    """
    params = read_yaml(source.blob("params.yaml"), "params.yaml")
    rules = params.get("gate")
    if not isinstance(rules, dict):
        raise ProjectError(
            "params.yaml has no block `gate`",
            "it says what a candidate must reach",
            "dvc repro (conf/gate/ is in conf/config.yaml)",
        )
    if against == "":
        against = registry.live(rules["against"]) if rules["against"] else None
    evaluation = derive.evaluation(source)["test"]
    how = Judge(rules["judged_by"])
    found = [_floor(how, evaluation["metrics"], metric, limit) for metric, limit in sorted(rules["floors"].items())]
    if rules["beats_baseline"]:
        found.append(_beats_baseline(how, evaluation["gain_over_baseline"]))
    if against is not None and (rules["no_worse"] or rules["slices_no_worse"]):
        try:
            compared = _compare(project, source, registry, against, rules, params, say)
        except UnavailableError:
            raise  # busy or away now: no verdict
        except ProjectError as error:
            if isinstance(error, MissingError) and rules["incomparable"] == "refuse":
                raise  # it can be brought back, which is better than to do without
            found.append(
                record.Rule(
                    rule=f"comparison with {against}",
                    required="possible" if rules["incomparable"] == "refuse" else "if possible",
                    found=f"not possible ({error.what})",
                    passed=rules["incomparable"] == "pass",
                )
            )
        else:
            found += _no_worse(how, compared, rules, against)
    return record.Gate(name=rules["name"], passed=all(rule.passed for rule in found), against=against, rules=found)


def _floor(how: Judge, metrics: dict[str, Any], metric: str, limit: float) -> record.Rule:
    entry = metrics.get(metric, {"value": None, "low": None, "high": None})
    counts = how.weak(entry, metric)
    loss = metric in LOSSES
    return record.Rule(
        rule=f"test {metric}",
        required=f"{'at most' if loss else 'at least'} {number(limit)}",
        found=how.shown(entry),
        passed=counts is not None and (counts <= limit if loss else counts >= limit),
    )


def _beats_baseline(how: Judge, gain: dict[str, Any]) -> record.Rule:
    metric, entry = next(iter(gain.items()))
    counts = how.weak(entry, metric, gain=True)
    return record.Rule(
        rule=f"gain in {metric} over the baseline",
        required="more than 0",
        found=how.shown(entry),
        passed=counts is not None and counts > 0,
    )


def _compare(
    project: Project,
    source: Source,
    registry: Registry,
    against: str,
    rules: dict[str, Any],
    params: dict[str, Any],
    say: Say,
) -> dict[str, Any]:
    """Compare candidate and live version by the candidate's test rows."""
    live = registry.get(against)
    kept = project.record(live)
    store = project.store
    prepared = derive.prepared(params)
    test = f"{prepared}/test.parquet"
    target = next(entry for entry in source.json(f"{prepared}/columns.json") if entry["role"] == "target")
    output = interface.of(store, kept)["output"]
    if (target["name"], target["type"]) != (output["name"], output["type"]):
        raise ProjectError(
            f"{against} predicts {output['name']}, this one predicts {target['name']}",
            "models with different targets cannot be compared",
            "model gate --against a version with the same target",
        )
    with tempfile.TemporaryDirectory() as scratch:
        theirs = Path(scratch, "theirs.parquet")
        if kept.metrics.measured_on.get("test") == source.object(test):
            there = [out for out in store.outs(live.commit) if out.path == PREDICTIONS.rpartition("/")[0]]
            member = store.members(there[0].md5).get("test.parquet") if there else None
            if member is None:
                raise ProjectError(
                    f"{against} kept no predictions", "they are compared", "model gate --against another one"
                )
            theirs.write_bytes(store.read(member))
        else:
            say(f"the test rows are others than those of {against}: it predicts them in its release directory")
            release = restore.materialise(project, live, say)
            # As the files hold them: the other version may read a column as another type, or take one that this
            # one leaves out.
            rows = Path(scratch, "test.parquet")
            rows.write_bytes(source.read(f"{prepared}/raw_test.parquet"))
            module = f"{package_of(release.folder)}.pipeline.score"
            project.python(module, str(rows), str(theirs), cwd=release.folder, python=release.python)
        asked = {
            "ours": _path(source, PREDICTIONS),
            "theirs": str(theirs),
            "table": _path(source, test),
            "columns": _path(source, f"{prepared}/columns.json"),
            "slices": sorted(rules["slices_no_worse"]),
            "bootstrap": params["task"]["bootstrap"],
            "seed": params["compute"]["seed"],
        }
        module = f"{__package__.rpartition('.')[0]}.pipeline.compare"
        found: dict[str, Any] = json.loads(project.python(module, text=json.dumps(asked)))
    return found


def _path(source: Source, path: str) -> str:
    """Return where the content of a file lies; it is checked, and fetched if need be."""
    oid = source.object(path)
    source.store.read(oid)
    return str(source.store.path(oid))


def _no_worse(how: Judge, compared: dict[str, Any], rules: dict[str, Any], against: str) -> list[record.Rule]:
    found = [
        _difference(how, compared["metrics"].get(metric), metric, share, against, f"test {metric}")
        for metric, share in sorted(rules["no_worse"].items())
    ]
    for column, metrics in sorted(rules["slices_no_worse"].items()):
        by_value = compared.get("slices", {}).get(column)
        if not by_value:
            found.append(
                record.Rule(rule=f"slices of {column}", required="at least one", found="no such column", passed=False)
            )
            continue
        found += [
            _difference(how, entry.get(metric), metric, share, against, f"test {metric} where {column} is {value}")
            for value, entry in sorted(by_value.items())
            for metric, share in sorted(metrics.items())
        ]
    return found


def _difference(
    how: Judge, entry: dict[str, Any] | None, metric: str, share: float, against: str, name: str
) -> record.Rule:
    required = f"at most {share:.4g} of it worse than {against}"
    if entry is None or entry["theirs"]["value"] is None or entry["difference"]["value"] is None:
        return record.Rule(rule=name, required=required, found="no value", passed=False)
    counts = how.weak(entry["difference"], metric)
    assert counts is not None
    worse = counts if metric in LOSSES else -counts
    theirs = abs(entry["theirs"]["value"])
    return record.Rule(
        rule=name,
        required=required,
        found=f"{number(entry['ours']['value'])} against {number(entry['theirs']['value'])}: "
        f"{_signed(how.shown(entry['difference']))}",
        # Rounded as the numbers are: a margin of exactly the difference is no fault.
        passed=round(worse - share * theirs, 9) <= 0,
    )


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


def number(value: float) -> str:
    """Return a number as people read it: four digits that count."""
    return f"{value:.4g}"
