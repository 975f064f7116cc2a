"""Stage `compose`: write `params.yaml` from `conf/`, and note the environment.

In `dvc repro` the stage composes `conf/` with Hydra. In an experiment DVC has
already composed `conf/` with the overrides of that run, so the stage only
checks the result. A `params.yaml` that somebody edited by hand is refused.
`--print FOLDER` only composes a folder, and `--check FILE` only checks the rules
in a file that nothing composes; both write nothing.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from . import config, environment, stage

CONF = Path("conf")
LOCK_FILE = Path("dvc.lock")


@dataclass(frozen=True)
class Composed:
    """What `conf/` composes to, and the files that it came from."""

    text: str
    values: dict[str, Any]
    files: tuple[Path, ...]


def compose(conf: Path = CONF, overrides: tuple[str, ...] = ()) -> Composed:
    """Compose `conf/config.yaml` with its defaults list.

    Parameters
    ----------
    conf : Path
        The folder with `config.yaml` and the config groups.
    overrides : tuple of str
        Hydra overrides, such as `model=random_forest`.

    Returns
    -------
    Composed
        The text is the one that `dvc exp run` would write.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        with hydra.initialize_config_dir(str(conf.resolve()), version_base=None):
            composed = hydra.compose("config", list(overrides), return_hydra_config=True)
            choices = dict(composed.hydra.runtime.choices)
            composed = hydra.compose("config", list(overrides))
        OmegaConf.resolve(composed)
        missing = sorted(OmegaConf.missing_keys(composed))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ProjectError(
            f"{conf}/ does not compose: {_without_paths(str(error))}{_users_of_missing_key(str(error), conf)}",
            "Hydra cannot build the configuration from these files",
            f"correct the file or the choice named above (choices stand in {conf}/config.yaml)",
        ) from error
    if missing:
        raise ProjectError(
            f"{', '.join(missing)}: no value in {conf}/",
            "`???` marks a value that must be given",
            f"give the value in the files of {conf}/",
        )
    files = [conf / "config.yaml"]
    for group, choice in choices.items():
        file = conf / group.partition("@")[0] / f"{choice}.yaml"
        if not group.startswith("hydra/") and file.is_file():
            # A recipe overrides the groups, so it is asked first where a key stands.
            files.insert(0 if group == "experiment" else len(files), file)
    values = OmegaConf.to_container(composed)
    assert isinstance(values, dict)
    return Composed(OmegaConf.to_yaml(composed), {str(key): value for key, value in values.items()}, tuple(files))


def _without_paths(message: str) -> str:
    """Return Hydra's message up to where it lists the places that it searched."""
    return message.partition("Config search path:")[0].strip()


def _users_of_missing_key(message: str, conf: Path) -> str:
    """Return the files that refer to a key that OmegaConf did not find; its message names only the key."""
    missing = re.search(r"Interpolation key '(.+?)' not found", message)
    if not missing:
        return ""
    files = [str(f) for f in sorted(conf.rglob("*.yaml")) if "${" + missing[1] + "}" in f.read_text(encoding="utf-8")]
    return f", used in {', '.join(files)}" if files else ""


def check(composed: Composed) -> config.Config:
    """Check composed values against the schema, the file names and the estimator's signature."""
    parsed = config.parse(composed.values, composed.files)
    for file in composed.files:
        block = composed.values.get(file.parent.name)
        if isinstance(block, dict) and block.get("name") not in (None, file.stem):
            raise ProjectError(
                f"{file} says name: {block['name']}",
                "the name says in params.yaml which file was chosen, so it must be the file's own",
                f"write `name: {file.stem}` in {file}",
            )
    check_estimator(parsed, composed.files)
    return parsed


def check_estimator(parsed: config.Config, files: tuple[Path, ...]) -> None:
    """Refuse an estimator that cannot be imported, built, trusted or used for the task, before anything is read."""
    from .estimator import (
        build,
        check_task,
        check_trust,
        estimator_class,
        import_target,
        nested_targets,
        unknown_arguments,
    )

    file = next((file for file in files if file.parent.name == "model"), files[0])
    estimator_class(parsed.model.estimator, str(file))
    for place, arguments in nested_targets(parsed.model.estimator, "model.estimator"):
        target = import_target(arguments["_target_"], str(file))
        unknown, known = unknown_arguments(target, arguments)
        if unknown:
            faults = [f"{place}.{key}{config.nearest(key, known)}" for key in unknown]
            raise ProjectError(
                f"{target.__name__} has no argument called " + "; ".join(faults),
                f"{file} passes it on to the estimator",
                f"correct {file}, then run the same command again",
            )
    built = build(parsed.model.estimator, str(file))
    check_task(built, parsed.model.estimator["_target_"], parsed.task.name, str(file))
    check_trust(parsed.model.estimator, str(file))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each dotted key whose value differs, with both values (None where absent)."""
    for key in sorted({*ours, *theirs}):
        left, right = ours.get(key), theirs.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            yield from differences(left, right, f"{prefix}{key}.")
        elif left != right or type(left) is not type(right):
            yield f"{prefix}{key}", left, right


def recorded_md5(path: str, lock_file: Path = LOCK_FILE) -> str | None:
    """Return the md5 that `dvc.lock` holds for an output of the stage `compose`."""
    if not lock_file.exists():
        return None
    outs = config.read_yaml(lock_file).get("stages", {}).get("compose", {}).get("outs", [])
    return next((out["md5"] for out in outs if out["path"] == path), None)


def refuse_hand_edit(composed: Composed, params: Path = config.PARAMS_FILE, lock_file: Path = LOCK_FILE) -> None:
    """Refuse to replace a `params.yaml` that neither this stage nor an experiment wrote.

    A file that a run wrote is known to `dvc.lock` by its md5; it may be replaced.
    """
    if not params.exists():
        return
    present = params.read_bytes()
    if present == composed.text.encode() or md5(present, usedforsecurity=False).hexdigest() == recorded_md5(
        params.name, lock_file
    ):
        return
    changed = list(differences(composed.values, config.read_yaml(params)))
    lines = [f"  - {key} is {there!r}, conf/ says {here!r}" for key, here, there in changed]
    overrides = " ".join(f"-S '{key}={'null' if there is None else there}'" for key, _, there in changed)
    raise ProjectError(
        f"{params.name} was edited by hand:\n" + "\n".join(lines or ["  - only its layout or comments differ"]),
        "conf/ is the truth and params.yaml is what it composes to; nothing was overwritten",
        (f"to try these values: rm {params.name} && dvc exp run {overrides}\n       " if overrides else "")
        + f"to keep them: write them into the files of conf/, then rm {params.name} && dvc repro\n"
        + f"       to drop them: rm {params.name} && dvc repro",
    )


def main() -> None:
    if sys.argv[1:2] == ["--print"]:
        print(compose(Path(sys.argv[2])).text, end="")
        return
    if sys.argv[1:2] == ["--check"]:
        config.read_rules(Path(sys.argv[2]))
        return
    if os.environ.get("DVC_EXP_BASELINE_REV"):
        parsed = config.read_params()
        check_estimator(parsed, (config.PARAMS_FILE,))
        print("params.yaml: composed by dvc exp run with its overrides; checked")
    else:
        composed = compose()
        check(composed)
        refuse_hand_edit(composed)
        write_params(composed)
    environment.write()


def write_params(composed: Composed, params: Path = config.PARAMS_FILE) -> None:
    """Write `params.yaml` in one step, and say what changed."""
    before = config.read_yaml(params) if params.exists() else {}
    for key, new, old in differences(composed.values, before) if before else ():
        print(f"params.yaml: {key}: {old!r} -> {new!r}")
    draft = params.with_suffix(".yaml.new")
    draft.write_text(composed.text, encoding="utf-8", newline="\n")
    draft.replace(params)
    choices = sorted(f"{file.parent.name}: {file.stem}" for file in composed.files if file.parent.parent.name)
    print(f"params.yaml: composed from conf/ ({', '.join(choices)})")


if __name__ == "__main__":
    stage.run(main)
