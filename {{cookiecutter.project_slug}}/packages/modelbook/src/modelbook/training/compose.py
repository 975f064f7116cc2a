"""Stage `compose`: write `params.yaml` from `conf/`, and note the environment.

In `dvc repro` the stage composes `conf/` with Hydra. In an experiment DVC has
already composed `conf/` with the overrides of that run, so the stage only
checks the result, and writes it so that all readers take it alike. A
`params.yaml` that somebody edited by hand is refused.
`--print FOLDER` only composes a folder, and writes nothing.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from .. import settings as config
from ..errors import ProjectError
from ..mappings import differences
from . import environment, stage, yaml_text

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
        The text is the one that an experiment without overrides would leave.
    """
    import hydra
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    yaml_text.check_marks(conf)
    try:
        with hydra.initialize_config_dir(str(conf.resolve()), version_base=None):
            composed = hydra.compose("config", list(overrides), return_hydra_config=True)
        choices = dict(composed.hydra.runtime.choices)
        with open_dict(composed):
            del composed["hydra"]
        OmegaConf.resolve(composed)
        missing = sorted(OmegaConf.missing_keys(composed))
    except MissingConfigException as error:
        raise _missing_choice(error, conf) from error
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
        hints = _without_keys(conf) + _users_of_missing_key(str(error), conf) + _nearest_group(str(error), conf)
        raise ProjectError(
            f"{conf}/ does not compose: {str(error).strip() or 'an interpolation ${...} cannot be read'}{hints}",
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
    for file in files:
        yaml_text.check_file(file)
    values = OmegaConf.to_container(composed)
    assert isinstance(values, dict)
    return Composed(yaml_text.dump(values), {str(key): value for key, value in values.items()}, tuple(files))


def of_experiment(params: Path = config.PARAMS_FILE, conf: Path = CONF) -> Composed:
    """Return what `dvc exp run` composed from `conf/` and its overrides."""
    config.read_yaml(params)
    values = yaml_text.of_hydra(params.read_text(encoding="utf-8"))
    choices = {group: block.get("name") for group, block in values.items() if isinstance(block, dict)}
    files = [conf / "config.yaml", *(conf / group / f"{name}.yaml" for group, name in choices.items())]
    files += (conf / "experiment").glob("*.yaml")  # any recipe may have been chosen
    for file in filter(Path.is_file, files):
        yaml_text.check_file(file)
    return Composed(yaml_text.dump(values), values, (*filter(Path.is_file, files), config.OVERRIDES))


def _missing_choice(error: Any, conf: Path) -> ProjectError:
    """Name the nearest file of a group for a choice that has none."""
    group, _, choice = str(error.missing_cfg_file).removesuffix(".yaml").rpartition("/")
    line = re.compile(rf"^\s*-\s*(override\s+)?/?{re.escape(group)}:\s*['\"]?{re.escape(choice)}\b", re.MULTILINE)
    files = [file for file in sorted(conf.rglob("*.yaml")) if line.search(file.read_text(encoding="utf-8"))]
    where = next((str(file) for file in files), f"{conf}/config.yaml")
    known = sorted(file.stem for file in (conf / group).glob("*.yaml"))
    return ProjectError(
        f"{where} chooses {group}: {choice}, but there is no {conf}/{group}/{choice}.yaml"
        f"{config.nearest(choice, known)}",
        "each line of a defaults list takes one file",
        f"correct the choice in {where}, or write that file",
    )


def _without_keys(conf: Path) -> str:
    """Return the files that hold something other than keys with values; Hydra does not name them."""
    import yaml

    files = []
    for file in sorted(conf.rglob("*.yaml")):
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError:
            continue  # Hydra's message names this one
        if not isinstance(values, dict | None):
            files.append(str(file))
    return f"; no keys with values in {', '.join(files)}" if files else ""


def _nearest_group(message: str, conf: Path) -> str:
    """Return the nearest group for one that a recipe names wrongly, or what a recipe forgot."""
    wrong = re.search(r"Could not override '(.+?)(@experiment\b.*)?'", message)
    if wrong and wrong[2]:
        return f"; the first line of a recipe must be `{config.RECIPE}`"
    return config.nearest(wrong[1], sorted(path.name for path in conf.iterdir() if path.is_dir())) if wrong else ""


def _users_of_missing_key(message: str, conf: Path) -> str:
    """Return the files that refer to a key that OmegaConf did not find; its message names only the key."""
    missing = re.search(r"Interpolation key '(.+?)' not found", message)
    if not missing:
        return ""
    files = [str(f) for f in sorted(conf.rglob("*.yaml")) if "${" + missing[1] + "}" in f.read_text(encoding="utf-8")]
    return f", used in {', '.join(files)}" if files else ""


def check(composed: Composed) -> config.Config:
    """Check composed values against the schema, the file names and the estimator's signature."""
    parsed = config.parse(composed.values, composed.files, config.schema(config.named_class()))
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
        check_fit,
        check_task,
        check_trust,
        estimator_class,
        import_target,
        nested_targets,
        unknown_arguments,
    )

    own = next((file for file in files if file.parent.name == "model"), files[0])
    file = config.file_of(["model", "estimator", "_target_"], files, parsed.model.estimator["_target_"])
    estimator_class(parsed.model.estimator, str(file))
    for place, arguments in nested_targets(parsed.model.estimator, "model.estimator"):
        target = import_target(arguments["_target_"], str(file))
        unknown, known = unknown_arguments(target, arguments)
        if unknown:
            where = config.OVERRIDES if config.OVERRIDES in files else own
            keys = place.replace("[", ".").split(".")
            if where == config.OVERRIDES and all(
                config.file_of([*keys, key], files, arguments[key]) != where for key in unknown
            ):
                where = own
            faults = [f"{place}.{key}{config.nearest(key, known)}" for key in unknown]
            raise ProjectError(
                f"{target.__name__} has no argument called " + "; ".join(faults),
                f"{where} passes it on to the estimator",
                f"correct {where}, then run the same command again",
            )
    built = build(parsed.model.estimator, str(file))
    check_task(built, parsed.model.estimator["_target_"], parsed.task.name, str(file))
    check_fit(built, parsed.model.fit, str(own))
    check_trust(parsed.model.estimator, str(file))


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
    there = config.read_yaml(params)
    changed = differences(composed.values, there)
    lines = [f"  - {key} is {new!r}, conf/ says {old!r}" for key, old, new in changed]
    overrides = " ".join(f"-S {shlex.quote(_override(key, composed.values, there))}" for key, _, _ in changed)
    raise ProjectError(
        f"{params.name} was edited by hand:\n" + "\n".join(lines or ["  - only its layout or comments differ"]),
        "conf/ is the truth and params.yaml is what it composes to; nothing was overwritten",
        (f"to try these values: rm {params.name} && dvc exp run {overrides}\n       " if overrides else "")
        + f"to keep them: write them into the files of conf/, then rm {params.name} && dvc repro\n"
        + f"       to drop them: rm {params.name} && dvc repro",
    )


def _override(key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return the Hydra override that sets a key as another configuration has it."""
    if not _has(theirs, key):
        return f"~{key}"
    value: Any = theirs
    for part in key.split("."):
        value = value[part]
    return f"{'' if _has(ours, key) else '+'}{key}={_as_hydra_writes(value)}"


def _has(values: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _as_hydra_writes(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if isinstance(value, list):
        return "[" + ",".join(map(_as_hydra_writes, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_as_hydra_writes(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_/-]*", value) and value.casefold() not in (
            *yaml_text.WORDS,
            "nan",
            "inf",
        )
        # A backslash is only special before a quote.
        return value if plain else '"' + re.sub(r'(\\*)(")', r"\1\1\\\2", re.sub(r"(\\+)$", r"\1\1", value)) + '"'
    return repr(value) if isinstance(value, float) else json.dumps(value)


def main() -> None:
    if sys.argv[1:2] == ["--print"]:
        print(compose(Path(sys.argv[2])).text, end="")
        return
    if os.environ.get("DVC_EXP_BASELINE_REV"):
        composed = of_experiment()
        check(composed)
        _write(composed)
        print("params.yaml: composed by dvc exp run with its overrides; checked")
    else:
        composed = compose()
        check(composed)
        refuse_hand_edit(composed)
        write_params(composed)
    environment.write()


def _write(composed: Composed, params: Path = config.PARAMS_FILE) -> None:
    draft = params.with_suffix(".yaml.new")
    draft.write_text(composed.text, encoding="utf-8", newline="\n")
    draft.replace(params)


def write_params(composed: Composed, params: Path = config.PARAMS_FILE) -> None:
    """Write `params.yaml` in one step, and say what changed."""
    before = config.read_yaml(params) if params.exists() else {}
    for key, new, old in differences(composed.values, before) if before else ():
        print(f"params.yaml: {key}: {old!r} -> {new!r}")
    _write(composed, params)
    choices = sorted(f"{file.parent.name}: {file.stem}" for file in composed.files if file.parent.parent.name)
    print(f"params.yaml: composed from conf/ ({', '.join(choices)})")


if __name__ == "__main__":
    stage.run(main, is_stage=len(sys.argv) == 1)
