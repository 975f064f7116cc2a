"""Derive a version record from a commit and the objects that it names; nothing is taken on trust."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from ..store.dvc_repo import Out, Store, name_of
from ..store.git import Git
from ..store.yaml_file import read_yaml
from . import imports, record
from .record import Record, digest

#: What the training noted on this machine, under the hash of the model.
NOTES = Path(".dvc/tmp/trained")
#: The rows that the model was trained on and judged by, unless `data.prepared` in `params.yaml` says otherwise.
PREPARED = "data/prepared"
#: Longest texts that a record takes; what is longer stands in a file whose hash it holds.
CONFIG_BYTES, INPUTS_BYTES, OUTPUT_BYTES = 24_000, 16_000, 8_000
#: Categories of a column that are listed; more are counted.
LISTED = 20


@dataclass(frozen=True)
class Source:
    """A commit with its objects.

    Attributes
    ----------
    git : Git
    store : Store
    commit : str
        Empty: what the workspace holds.
    model_path : str
        From `artifacts` in `dvc.yaml`.
    outs : tuple of Out
        Everything that is tracked at the commit.
    """

    git: Git
    store: Store
    commit: str
    model_path: str
    outs: tuple[Out, ...]

    @property
    def where(self) -> str:
        return f"the commit {self.commit[:10]}" if self.commit else "the workspace"

    @property
    def rev(self) -> str:
        """The commit, or the one that the workspace began from."""
        return self.commit or "HEAD"

    def blob(self, path: str) -> bytes:
        """Return a file of the commit, or of the workspace."""
        try:
            content = self.git.file(self.commit, path) if self.commit else (self.git.root / path).read_bytes()
        except OSError:
            content = None
        if content is None:
            raise ProjectError(
                f"{path} is not in {self.where}",
                "a version must hold all that explains it",
                f"dvc repro, then git add {path} && git commit",
            )
        return content

    def blobs(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return files of the commit, or of the workspace, by their paths; with one call of git for all."""
        tree = self.git.tree(self.commit) if self.commit else {}
        wanted = list(dict.fromkeys(paths))
        known = [path for path in wanted if path in tree]
        contents = dict(zip(known, self.git.contents([tree[path][1] for path in known]), strict=True)) if known else {}
        return {path: contents[path] if path in contents else self.blob(path) for path in wanted}

    def tracks(self, path: str) -> bool:
        """Tell whether DVC keeps a path, or something in it: then git does not have its content."""
        return any(f"{path}/".startswith(f"{out.path}/") or out.path.startswith(f"{path}/") for out in self.outs)

    def names(self) -> list[str]:
        """Return the paths that git keeps of the commit, or of the workspace."""
        if self.commit:
            return self.git.files(self.commit)
        kept = self.git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")[:-1]
        return [name for name in kept if (self.git.root / name).is_file()]

    def out(self, path: str) -> Out:
        """Return a tracked output."""
        for out in self.outs:
            if out.path == path and out.md5:
                return out
        raise ProjectError(
            f"dvc.lock of {self.where} does not name {path}",
            "a version records what made it and what it made",
            "dvc repro, then git add --all && git commit",
        )

    def json(self, path: str) -> Any:
        """Return a JSON file, from git or from DVC's objects."""
        return record.read_json(self.read(path), path)

    def read(self, path: str) -> bytes:
        """Return a file of the commit, wherever it is kept."""
        return self.store.read(self.object(path))

    def object(self, path: str) -> str:
        """Return the name of the object that holds a file."""
        for out in self.outs:
            if out.path == path and out.cached and out.md5:
                return out.md5
            if out.cached and out.md5.endswith(".dir") and path.startswith(f"{out.path}/"):
                member = self.store.members(out.md5).get(path[len(out.path) + 1 :])
                if member:
                    return member
        raise ProjectError(
            f"DVC does not track {path} in {self.where}", "the record needs it", "dvc repro, then commit"
        )


def source(git: Git, store: Store, commit: str, model_path: str) -> Source:
    """Look up what is tracked at a commit."""
    return Source(git, store, commit, model_path, tuple(store.outs(commit)))


def derive(source: Source, identity: record.Identity, gate: record.Gate) -> Record:
    """Derive the record of a commit.

    Parameters
    ----------
    source : Source
        Of the workspace: code is its files, `commit` the one that it began from.
    identity : Identity
        Name and number, which no commit knows.
    gate : Gate
        The verdict, derived by `gate.py`.
    """
    described = source.json(f"{source.model_path}/interface.json")
    params = read_yaml(source.blob("params.yaml"), "params.yaml")
    noted = trained(source.git.root, described["file"]["sha256"])
    return Record(
        identity=identity,
        model=_model(source, described),
        code=_code(source),
        data=_data(source, params),
        params=_params(source, params),
        metrics=_metrics(source, params),
        environment=_environment(source, params, noted),
        interface=_interface(source, described),
        governance=record.Governance(
            author=source.git.run("log", "-1", "--format=%an <%ae>", source.rev),
            trained=record.Trained(**{k: noted[k] for k in ("at", "seconds", "host")}) if noted else None,
            gate=gate,
        ),
    )


def _model(source: Source, described: dict[str, Any]) -> record.Model:
    path = f"{source.model_path}/model.skops"
    content = source.read(path)
    if digest(content) != described["file"]["sha256"]:
        raise ProjectError(
            f"{path} is not the file that interface.json describes",
            "the model and its description come from different trainings",
            "dvc repro --force train, then commit",
        )
    return record.Model(
        path=path,
        format=described["file"]["format"],
        bytes=len(content),
        sha256=digest(content),
        md5=source.out(source.model_path).md5,
    )


def _code(source: Source) -> record.Code:
    return record.Code(
        commit=source.git.commit(source.rev),
        tree=source.git.run("rev-parse", source.rev + "^{tree}"),
        dvc_yaml=digest(source.blob("dvc.yaml")),
        tool=record.read_json(source.blob("environment.json"), "environment.json")["tool"],
        stages=_modules(source, stage_deps(source)),
    )


def stage_deps(source: Source) -> dict[str, dict[str, str]]:
    """Return the md5 of each dependency of each stage, as `dvc.lock` has them."""
    locked = read_yaml(source.blob("dvc.lock"), "dvc.lock")["stages"]
    # What lies outside of the project has an etag or a checksum instead.
    return {stage: {d["path"]: d.get("md5", "") for d in entry.get("deps", [])} for stage, entry in locked.items()}


def _modules(source: Source, stages: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return one hash for the Python files of each stage: of the commit's own, which must be those that ran.

    A folder counts by what is in it, and what its modules and the named ones
    import must be named, too: an edit in it would have left the stage "up to date".
    """
    in_git = source.names()
    files = frozenset(in_git)
    named = {path: md5 for deps in stages.values() for path, md5 in deps.items()}
    folders = {
        path: [name for name in in_git if name.startswith(f"{path}/")]
        for path, md5 in named.items()
        if md5.endswith(".dir") and not source.tracks(path)
    }
    modules = [path for path in named if path.endswith(".py") and path not in folders]
    contents = source.blobs([*modules, *(name for inside in folders.values() for name in inside)])

    def of_stage(stage: str, deps: dict[str, str]) -> str:
        code = []
        for path, md5 in deps.items():
            if path in folders:
                _same_folder(source, path, {name: contents[name] for name in folders[path]}, md5)
                code += [name for name in folders[path] if name.endswith(".py")]
            elif path.endswith(".py"):
                if name_of(contents[path]) != md5:
                    raise _other_than_ran(source, path)
                code.append(path)
        for path in sorted({*code}):
            for name in imports.imported(path, contents[path], files):
                if not any(name == dep or name.startswith(f"{dep}/") for dep in deps):
                    raise ProjectError(
                        f"{name}, which {path} imports, is no dep of the stage {stage} in dvc.yaml",
                        f"when it changes, dvc repro says that {stage} is up to date",
                        f"add `- {name}` to the deps of {stage} in dvc.yaml, then dvc repro and commit",
                    )
        return digest("".join(f"{digest(contents[path])}  {path}\n" for path in sorted({*code})).encode())

    return {stage: of_stage(stage, deps) for stage, deps in stages.items()}


def _same_folder(source: Source, path: str, inside: dict[str, bytes], md5: str) -> None:
    """Refuse a folder whose files in git are not those that DVC saw when the stage ran."""
    listed = [{"md5": name_of(content), "relpath": name[len(path) + 1 :]} for name, content in inside.items()]
    listed.sort(key=lambda entry: entry["relpath"])
    if f"{name_of(json.dumps(listed, sort_keys=True).encode())}.dir" != md5:
        raise _other_than_ran(source, path)


def _other_than_ran(source: Source, path: str) -> ProjectError:
    return ProjectError(
        f"{path} of {source.where} is not what ran",
        "dvc.lock noted another content when the stage ran",
        "dvc repro, then git add --all && git commit (a file that git ignores must stand in .dvcignore, too)",
    )


def _data(source: Source, params: dict[str, Any]) -> record.Data:
    folder = prepared(params)
    if not source.tracks(folder):
        raise ProjectError(
            f"no stage writes {folder}",
            "a version records the rows that its model was trained on and judged by",
            "say in params.yaml which folder tables.write fills: `data: {prepared: FOLDER}`; then dvc repro and commit",
        )
    summary = source.json(f"{folder}/summary.json")
    path = data_block(params).get("path", "")
    unknown = {"rows": None, "columns": None}  # a pipeline of your own making need not count them
    inputs = []
    for out in source.outs:
        if out.is_input:
            raw = summary.get("raw", unknown) if path == out.path or path.startswith(f"{out.path}/") else unknown
            inputs.append(
                record.Input(
                    path=out.path,
                    md5=out.md5,
                    bytes=out.size,
                    files=out.files,
                    rows=raw["rows"],
                    columns=raw["columns"],
                )
            )
    splits = {
        name: record.Split(rows=rows, md5=source.object(f"{folder}/{name}.parquet"))
        for name, rows in summary["rows"].items()
    }
    if not inputs:
        raise ProjectError(
            "no input is tracked by DVC", "the data would be missing from the version", "dvc add data/raw, then commit"
        )
    return record.Data(inputs=inputs, splits=splits)


def prepared(params: dict[str, Any]) -> str:
    """Return the folder of the prepared table."""
    return str(data_block(params).get("prepared", PREPARED))


def data_block(params: dict[str, Any]) -> dict[str, Any]:
    """Return what `params.yaml` says of the data; a pipeline of your own making need not say anything."""
    block = params.get("data")
    return block if isinstance(block, dict) else {}


def _params(source: Source, params: dict[str, Any]) -> record.Params:
    fits = len(record.canonical(params).encode()) <= CONFIG_BYTES
    return record.Params(
        sha256=digest(source.blob("params.yaml")), choices=choices(params), config=params if fits else None
    )


def choices(params: dict[str, Any]) -> dict[str, str]:
    """Return the file that was chosen in each config group."""
    return {group: block["name"] for group, block in params.items() if isinstance(block, dict) and "name" in block}


def _metrics(source: Source, params: dict[str, Any]) -> record.Metrics:
    content = source.blob("evaluation.json")
    found = evaluation(source)
    parts = [part for part, block in found.items() if isinstance(block, dict) and "metrics" in block]
    test = found["test"]

    def values(block: dict[str, Any]) -> dict[str, record.Value]:
        return {name: record.Value(**entry) for name, entry in block.items()}

    return record.Metrics(
        primary=params["task"]["metric"],
        lower_is_better=found["lower_is_better"],
        level=found["intervals"]["level"],
        resamples=found["intervals"]["resamples"],
        values={part: values(found[part]["metrics"]) for part in parts},
        baseline=values(test["baseline"]),
        gain_over_baseline=next(iter(values(test["gain_over_baseline"]).values())),
        measured_on={part: source.object(f"{prepared(params)}/{part}.parquet") for part in parts},
        file=digest(content),
    )


def evaluation(source: Source) -> dict[str, Any]:
    """Return `evaluation.json`, which has a part `test`, and says of which metrics less is better."""
    found: dict[str, Any] = record.read_json(source.blob("evaluation.json"), "evaluation.json")
    test = found.get("test") if isinstance(found, dict) else None
    if not (isinstance(test, dict) and "metrics" in test and "lower_is_better" in found):
        raise ProjectError(
            "evaluation.json holds no metrics of the test rows", "a version is judged by them", "dvc repro"
        )
    return found


def _environment(source: Source, params: dict[str, Any], noted: dict[str, Any] | None) -> record.Environment:
    environment = record.read_json(source.blob("environment.json"), "environment.json")
    return record.Environment(
        python=environment["python"],
        platform=noted["platform"] if noted else None,
        uv_lock=digest(source.blob("uv.lock")),
        packages=environment["packages"],
        threads=params["compute"]["threads"],
        blas=noted["blas"] if noted else None,
    )


def _interface(source: Source, described: dict[str, Any]) -> record.Interface:
    folder = source.model_path
    golden = source.json(f"{folder}/golden.json")
    return record.Interface(
        file=source.object(f"{folder}/interface.json"),
        inputs=record.Inputs(
            count=len(described["inputs"]), listed=_first(map(_short, described["inputs"]), INPUTS_BYTES)
        ),
        output=_output(described["output"]),
        golden=record.Golden(
            md5=source.object(f"{folder}/golden.json"), rows=len(golden["rows"]), tolerance=golden["tolerance"]
        ),
        statistics=source.object(f"{folder}/statistics.json"),
    )


def _short(column: dict[str, Any]) -> dict[str, Any]:
    """Leave out how raw values are read, and count categories where they are many or long."""
    column = {key: value for key, value in column.items() if key != "reading"}
    categories = column.get("categories")
    if isinstance(categories, list) and (len(categories) > LISTED or len(record.canonical(categories)) > 1000):
        return {**column, "categories": len(categories)}
    return column


def _output(output: dict[str, Any]) -> dict[str, Any]:
    """Count the classes where they are too many for a tag."""
    if len(record.canonical(output).encode()) > OUTPUT_BYTES:
        return {**output, "classes": len(output["classes"])}
    return output


def _first(entries: Iterable[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Return the first entries that fit into so many bytes."""
    chosen, used = [], 0
    for entry in entries:
        used += len(record.canonical(entry).encode()) + 1
        if used > limit:
            break
        chosen.append(entry)
    return chosen


def trained(root: Path, sha256: str) -> dict[str, Any] | None:
    """Return what this machine noted when it trained a model, or None if it did not train it."""
    try:
        noted = json.loads((root / NOTES / f"{sha256}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    needed = {"at", "seconds", "host", "platform", "blas"}
    return noted if isinstance(noted, dict) and needed <= noted.keys() else None
