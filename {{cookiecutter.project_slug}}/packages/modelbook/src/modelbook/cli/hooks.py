"""What a commit must not hold and no ready-made hook finds: `python -m modelbook.cli.hooks CHECK FILES`.

`.pre-commit-config.yaml` lists the checks. They read the work tree: whoever
runs hooks has put aside what is not part of the commit.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..errors import ProjectError
from ..store.dvc_repo import name_of
from ..store.yaml_file import read_yaml
from ..workspace import checks, project

#: DVC's options for a remote that give access to whoever reads them.
CREDENTIALS = {
    "access_key_id",
    "account_key",
    "client_secret",
    "connection_string",
    "custom_auth_header",
    "gdrive_client_secret",
    "oss_key_id",
    "oss_key_secret",
    "passphrase",
    "password",
    "sas_token",
    "secret_access_key",
    "session_token",
    "sse_customer_key",
    "token",
}
SECTION = re.compile(r"""\s*\[\s*'?\s*remote\s+"(?P<remote>[^"]+)"\s*'?\s*\]""")
OPTION = re.compile(r"\s*(?P<key>\w+)\s*=\s*\S")
#: Files that hold secrets by their purpose; `.gitignore` leaves them out, `git add --force` does not.
PRIVATE = {".env", ".envrc", ".dvc/config.local"}
#: How keys look; the issuers fix their first letters and their length. A key that is an example says so.
KEYS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b(?<!EXAMPLE)",
    "an AWS secret key": r"(?i:secret_?access_?key)\W{1,5}[0-9A-Za-z/+]{40}(?![0-9A-Za-z/+])(?<!EXAMPLEKEY)",
    "an Azure storage key": r"AccountKey=[0-9A-Za-z+/]{80,}",
    "a GitHub token": r"\bgh[pousr]_[0-9A-Za-z]{36}|\bgithub_pat_\w{50,}",
    "a GitLab token": r"\bglpat-[\w-]{20,}",
    "a Google key": r"\bAIza[\w-]{35}",
    "a Hugging Face token": r"\bhf_[A-Za-z]{34}\b",
    "a Slack token": r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"<>{}$]+:[^\s/:@'\"<>{}$]+@",
}
KEY = re.compile("|".join(f"(?P<k{n}>{pattern})" for n, pattern in enumerate(KEYS.values())))


def secrets(files: Sequence[str]) -> Iterator[ProjectError]:
    """Find credentials; no message repeats one, for whoever reads the log of CI would have it."""
    for file in files:
        name = PurePosixPath(file)
        if str(name) in PRIVATE or name.name in PRIVATE:
            yield ProjectError(
                f"{file} holds what is only for this machine",
                "anyone who can read the repository could use it",
                f"git rm --cached {file}",
            )
            continue
        text = Path(file).read_bytes().decode("utf-8", "replace")
        if str(name) == ".dvc/config":
            yield from _dvc_credentials(text)
        for number, line in enumerate(text.splitlines(), 1):
            match = KEY.search(line)
            if match:
                kind = list(KEYS)[int(str(match.lastgroup)[1:])]
                yield ProjectError(
                    f"{file}, line {number}: {kind}",
                    "anyone who can read the repository, now or later, could use it",
                    "take it from an environment variable or a profile instead; if it was pushed, revoke it",
                )


def _dvc_credentials(text: str) -> Iterator[ProjectError]:
    remote = None
    for number, line in enumerate(text.splitlines(), 1):
        section = SECTION.match(line)
        if section or line.lstrip().startswith("["):
            remote = section["remote"] if section else None
        option = OPTION.match(line)
        if remote and option and option["key"] in CREDENTIALS:
            key = option["key"]
            yield ProjectError(
                f".dvc/config, line {number}: {key} of the remote {remote} is a credential",
                ".dvc/config is committed; .dvc/config.local is for this machine alone",
                f"dvc remote modify --unset {remote} {key}\n"
                f"       dvc remote modify --local {remote} {key} VALUE   (then git add .dvc/config)",
            )


def pipeline() -> Iterator[ProjectError]:
    """Find a `params.yaml` that `conf/` does not compose to, and files that are not those that `dvc.lock` names."""
    here = project.find(Path.cwd())
    lock = here.root / "dvc.lock"
    params = here.root / "params.yaml"
    if not (lock.exists() or params.exists()):
        return  # nothing was trained yet
    stale = checks.stale_params(here)
    if stale:
        yield ProjectError(
            stale.what,
            "every stage reads params.yaml, and a version is explained by conf/",
            f"{stale.fix}\n       (compose trains nothing); then git add params.yaml environment.json dvc.lock",
        )
    if not lock.exists():
        return
    try:
        stages = read_yaml(lock.read_bytes(), "dvc.lock").get("stages") or {}
        made = {
            out["path"]: (stage, out.get("md5")) for stage, block in stages.items() for out in block.get("outs", ())
        }
    except (AttributeError, KeyError, TypeError):
        yield ProjectError(
            "dvc.lock cannot be understood",
            "it says what each stage made",
            "git checkout HEAD -- dvc.lock, then dvc repro",
        )
        return
    for path in here.git.run("ls-files", "-z", "--", *made).split("\0")[:-1]:
        stage, md5 = made.get(path, (None, None))
        file = here.root / path
        if md5 and file.is_file() and name_of(file.read_bytes()) != md5 and not (stale and file == params):
            yield ProjectError(
                f"{path} is not the one that {stage} made, says dvc.lock",
                "a commit must hold the results of one run",
                f"git add {path} dvc.lock, or dvc repro if one of them was edited",
            )


def main() -> None:
    check, *files = sys.argv[1:]
    try:
        found = list(pipeline() if check == "pipeline" else secrets(files))
    except ProjectError as error:
        found = [error]
    for problem in found:
        print(problem)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
