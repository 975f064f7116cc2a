"""The gate: whether a candidate is good enough, and no worse than what is live, by the rules of `conf/gate/`."""

import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingError, ProjectError, UnavailableError, counted
from ..formats import interval, number
from ..progress import Say, silent
from ..registry import derive, interface, record
from ..registry.derive import Source
from ..registry.registry import Registry, Version
from ..settings import LOSSES
from ..store.yaml_file import read_yaml
from ..workspace import checks, restore, tables
from ..workspace.checks import Problem
from ..workspace.project import Project, one_line

PREDICTIONS = "predictions/test.parquet"
#: What the rules of slices may take of a record, and a value's name of one of them.
RULES_BYTES, NAME_LENGTH = 8_000, 60
#: What the rule of a comparison requires, where it must be made.
POSSIBLE = "possible"
#: Classes that a message names; more are counted.
NAMED_CLASSES = 5


@dataclass(frozen=True)
class Judge:
    """How numbers are judged.

    Attributes
    ----------
    by : str
        `value`, or `interval` for its end that speaks against the candidate.
    losses : frozenset of str
        Metrics of which less is better.
    """

    by: str
    losses: frozenset[str] = LOSSES

    def weak(self, entry: dict[str, Any], metric: str, gain: bool = False) -> float | None:
        """Return the number that counts; `gain` says that more is better whatever the metric."""
        against = "high" if metric in self.losses and not gain else "low"
        counts = entry["value" if self.by == "value" else against]
        return None if counts is None else float(counts)

    def shown(self, entry: dict[str, Any]) -> str:
        return interval(entry["value"], entry["low"], entry["high"])


@dataclass(frozen=True)
class SliceRule:
    """A rule about one value of a column.

    Attributes
    ----------
    rule : record.Rule
    about : str
        What it shares with the rules of other values.
    judged : bool
        False: it could not be.
    """

    rule: record.Rule
    about: str
    judged: bool

    @property
    def verdict(self) -> str:
        """What became of it."""
        if not self.rule.passed:
            return "failed"
        return "passed" if self.judged else "not judged"


def candidate(project: Project, against: str | None = None, say: Say = silent) -> record.Gate:
    """Judge what is trained in the workspace, committed or not, without releasing it.

    Parameters
    ----------
    project : Project
    against : str, optional
        A version; left out: what the stage holds that the rules name.
    say : callable
    """
    problem = checks.stale_params(project)
    if problem:
        raise ProjectError(
            f"there is nothing to judge: {problem.what}", "the gate judges what conf/ makes", problem.fix
        )
    registry = project.registry()
    version = registry.get(against).name if against else ""
    source = derive.source(project.git, project.store, "", project.model_path)
    return judge(project, source, registry, say, version)


def failed_rules(verdict: record.Gate, place: str) -> list[Problem]:
    """Return the rules of a gate that were not met; `place` is where they stand."""
    return [
        Problem(
            f"gate: {rule.rule} is {rule.found}, {rule.required} is required",
            f"incomparable: pass in {place}, if that is meant"
            if rule.required == POSSIBLE
            else f"a better model, or another rule in {place} (model gate shows all)",
        )
        for rule in verdict.rules
        if not rule.passed
    ]


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
            "it says how good a model must be",
            "dvc repro (conf/gate/ is in conf/config.yaml)",
        )
    if against == "":
        against = registry.live(rules["against"]) if rules["against"] else None
    evaluated = derive.evaluation(source)
    evaluation = evaluated["test"]
    how = Judge(rules["judged_by"], frozenset(evaluated["lower_is_better"]))
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
                    required=POSSIBLE if rules["incomparable"] == "refuse" else f"if {POSSIBLE}",
                    found=f"not possible ({error.what})",
                    passed=rules["incomparable"] == "pass",
                )
            )
        else:
            # A good classifier of rare classes may well be less accurate than the baseline.
            baseline = {} if "classes" in evaluation else evaluation["baseline"]
            found += _no_worse(how, compared, rules, against, baseline)
    return record.Gate(name=rules["name"], passed=all(rule.passed for rule in found), against=against, rules=found)


def _floor(how: Judge, metrics: dict[str, Any], metric: str, limit: float) -> record.Rule:
    entry = metrics.get(metric, {"value": None, "low": None, "high": None})
    counts = how.weak(entry, metric)
    loss = metric in how.losses
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
    _check_classes(derive.evaluation(source)["test"], output, against)
    with tempfile.TemporaryDirectory() as scratch:
        theirs = Path(scratch, "theirs.parquet")
        if kept.metrics.measured_on.get("test") == source.object(test):
            there = [out for out in store.outs(live.commit) if out.path == PREDICTIONS.rpartition("/")[0]]
            member = store.members(there[0].md5).get("test.parquet") if there else None
            if member is None:
                raise ProjectError(
                    f"{against} kept no predictions of its test rows",
                    "the gate compares them with those of the new model",
                    "model gate --against another version",
                )
            theirs.write_bytes(store.read(member))
        else:
            say(_others(project, source, live, against))
            release = restore.materialise(project, live, say)
            # As the files hold them: the other version may read a column as another type, or take one that this
            # one leaves out.
            rows = Path(scratch, "test.parquet")
            rows.write_bytes(source.read(f"{prepared}/raw_test.parquet"))
            module = "modelbook.training.score"
            project.python(module, str(rows), str(theirs), cwd=release.folder, python=release.python)
        asked = {
            "ours": tables.path(source, PREDICTIONS),
            "theirs": str(theirs),
            "parts": [tables.part_files(source, prepared, part) for part in _parts(source, prepared, rules)],
            "columns": tables.path(source, f"{prepared}/columns.json"),
            "slices": sorted(rules["slices_no_worse"]),
            "task": params["task"],
            "compute": params["compute"],
        }
        module = "modelbook.training.compare"
        found: dict[str, Any] = json.loads(project.python(module, text=json.dumps(asked)))
    return found


def _check_classes(evaluation: dict[str, Any], output: dict[str, Any], against: str) -> None:
    """Refuse test rows of a class that the live version never learned."""
    known = output.get("classes", [])
    # Recall has a value for each class that is true in some row, and for no other.
    tested = [label for label, entry in evaluation.get("classes", {}).items() if entry["recall"]["value"] is not None]
    unknown = sorted(set(tested) - set(known))
    if unknown:
        raise ProjectError(
            f"{against} knows the classes {_named(known)} of {output['name']}; the test rows also hold "
            f"{_named(unknown)}: are these new, or spelled differently?",
            "a model is wrong in every row of a class that it never learned, so the comparison would be unfair",
            "spell the classes as before; if they are new: incomparable: pass in conf/gate/",
        )


def _named(labels: list[str]) -> str:
    """Return the first few classes by name, the rest as a number."""
    shown = ", ".join(repr(_shortened(label)) for label in labels[:NAMED_CLASSES])
    more = len(labels) - NAMED_CLASSES
    return f"{shown} and {more} more" if more > 0 else shown


def _parts(source: Source, prepared: str, rules: dict[str, Any]) -> list[str]:
    """Return the test rows first, then the parts that may have values which no test row has."""
    rows = source.json(f"{prepared}/summary.json")["rows"] if rules["slices_no_worse"] else {}
    return ["test", *(part for part in rows if part != "test")]


def _others(project: Project, source: Source, live: Version, against: str) -> str:
    """Say in which way the test data are others than those of the live version."""
    before = derive.source(project.git, project.store, live.commit, project.model_path)
    then = "it predicts them in its release directory"
    try:
        difference = tables.compare_test_rows(project, before, source)
    except UnavailableError:
        raise  # busy or away now: no verdict
    except ProjectError as error:
        return f"the test data are others than those of {against} ({one_line(error.what)}): {then}"
    if difference.same:
        return f"the test rows are those of {against}{difference.columns()}: {then}"
    return f"{difference.others()} test rows are others than those of {against}: {then}"


def _no_worse(
    how: Judge, compared: dict[str, Any], rules: dict[str, Any], against: str, baseline: dict[str, Any]
) -> list[record.Rule]:
    """Judge the difference over all rows and by slice; `baseline` holds what the live version should reach at least."""
    found = []
    for metric, share in sorted(rules["no_worse"].items()):
        entry = compared["metrics"].get(metric)
        rule = _difference(how, entry, metric, share, against, f"test {metric}")
        if entry and _is_worse(how, metric, entry["theirs"]["value"], baseline.get(metric, {}).get("value")):
            doubt = f"{against} does worse than a model that knows no feature: was the unit of the target changed?"
            rule = rule.model_copy(update={"found": f"{rule.found}; {doubt}"})
        found.append(rule)
    by_column = {
        column: _slices(how, compared, column, metrics, against)
        for column, metrics in sorted(rules["slices_no_worse"].items())
    }
    return found + _fitting(by_column)


def _slices(
    how: Judge, compared: dict[str, Any], column: str, metrics: dict[str, float], against: str
) -> list[SliceRule]:
    """Judge each value of a column; what cannot be judged is named, and no value at all does not pass."""
    refused = compared["refused"].get(column)
    if refused:
        rule = record.Rule(rule=f"slices of {column}", required="values to compare", found=refused, passed=False)
        return [SliceRule(rule, column, judged=False)]
    smallest = compared["smallest"]
    found = []
    frequent_first = sorted(compared["slices"][column].items(), key=lambda item: (-item[1]["rows"], item[0]))
    for value, entry in frequent_first:
        name = f"where {column} is {_shortened(value)}"
        count = counted(entry["rows"], "test row")
        if entry["rows"] < smallest:
            rule = record.Rule(
                rule=f"slice {name}",
                required=f"{smallest} rows, to be judged",
                found=f"{count}: not judged",
                passed=True,
            )
            found.append(SliceRule(rule, column, judged=False))
            continue
        for metric, share in sorted(metrics.items()):
            pair = entry["metrics"].get(metric)
            rule = _difference(how, pair, metric, share, against, f"test {metric} {name}")
            # Not the models, but the rows give it no value: one class has no ROC curve.
            judged = pair is None or pair["ours"]["value"] is not None or pair["theirs"]["value"] is not None
            if not judged:
                rule = rule.model_copy(update={"found": f"no value for these {count}: not judged", "passed": True})
            found.append(SliceRule(rule, f"{metric} where {column}", judged))
    if not any(one.judged for one in found):
        none = record.Rule(
            rule=f"slices of {column}", required="a value that can be judged", found="none", passed=False
        )
        found.append(SliceRule(none, column, judged=True))
    return found


def _fitting(by_column: dict[str, list[SliceRule]]) -> list[record.Rule]:
    """Return the rules that a record can hold, those that failed first of all; the others are counted by verdict."""
    rules = [rule for column in by_column.values() for rule in column]
    seen: Counter[str] = Counter()
    turns = []
    for place, one in enumerate(rules):
        # After what failed, what passed and what was not judged take turns: neither crowds the other out.
        turns.append((one.verdict != "failed", seen[one.verdict], place))
        seen[one.verdict] += 1
    used, chosen = 0, set()
    for _, _, place in sorted(turns):
        one = rules[place]
        used += len(record.canonical(one.rule.model_dump()).encode()) + 1
        if used <= RULES_BYTES:
            chosen.add(place)
    others = Counter(
        (one.about, one.verdict, one.rule.required) for place, one in enumerate(rules) if place not in chosen
    )
    shown = [one.rule for place, one in enumerate(rules) if place in chosen]
    return shown + [
        record.Rule(
            rule=f"{about}: {counted(count, 'other value')}",
            required=required,
            found=f"{verdict}, each of them" if count > 1 else verdict,
            passed=verdict != "failed",
        )
        for (about, verdict, required), count in others.items()
    ]


def _shortened(value: str) -> str:
    text = one_line(value)
    return text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}..."


def _difference(
    how: Judge, entry: dict[str, Any] | None, metric: str, share: float, against: str, name: str
) -> record.Rule:
    required = f"at most {number(share)} of it worse than {against}"
    counts = how.weak(entry["difference"], metric) if entry else None
    if entry is None or entry["theirs"]["value"] is None or counts is None:
        return record.Rule(rule=name, required=required, found="no value", passed=False)
    worse = counts if metric in how.losses else -counts
    theirs = abs(entry["theirs"]["value"])
    return record.Rule(
        rule=name,
        required=required,
        found=f"{number(entry['ours']['value'])} against {number(entry['theirs']['value'])}: "
        f"{_signed(how.shown(entry['difference']))}",
        # Rounded as the numbers are: a margin of exactly the difference is no fault.
        passed=round(worse - share * theirs, 9) <= 0,
    )


def _is_worse(how: Judge, metric: str, value: float | None, than: float | None) -> bool:
    if value is None or than is None:
        return False
    return value > than if metric in how.losses else value < than


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"
