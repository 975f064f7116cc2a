"""What only the forge can do, for GitHub and GitLab alike; all else in CI is a command that a person types, too.

    forge.py asked                     print auto, major, minor or patch if this commit asks for a release, else nothing
    forge.py announce                  have the pipeline of the version that was released just now start
    forge.py comment FOLDER            put a report into the one comment that the pull request has for it
    forge.py propose BRANCH FOLDER     open a pull request with a report, or update the one that is open
    forge.py release CARD RECORD       attach card and record of a version to the forge's release of the tag

Standard library only: it runs before, and apart from, the project's environment.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MARKER = "<!-- model report -->"
#: A trailer of the commit (`Release: minor`) or this label of the merged pull request asks for a release.
TRAILER, LABEL = "Release", "release"
PARTS = {"yes": "auto", "auto": "auto", "major": "major", "minor": "minor", "patch": "patch"}
#: What both forges take as the text of a comment.
LONGEST = 60_000  # characters
SECONDS = 60
TOO_LONG = "\n\n(The report is longer than a comment may be; the artifact `report` has all of it.)"


def git(*arguments: str, cwd: str | None = None, variables: dict[str, str] | None = None) -> str:
    """Run git; return what it prints."""
    environment = {**os.environ, **(variables or {})}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def call(method: str, url: str, headers: dict[str, str], body: Any = None, content: bytes | None = None) -> Any:
    """Send a request; return the JSON of the answer, or None if there is no such thing."""
    data = content if body is None else json.dumps(body).encode()
    kind = "application/json" if body is not None else "application/octet-stream"
    request = urllib.request.Request(url, data, {"Content-Type": kind, **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # the forge's own address
            text = answer.read()
    except urllib.error.HTTPError as error:
        if error.code == 404 and method == "GET":
            return None
        sys.exit(f"{method} {url}: {error.code} {error.read().decode('utf-8', 'replace')[:500]}")
    except urllib.error.URLError as error:
        sys.exit(f"{method} {url}: {error.reason}")
    return json.loads(text) if text else None


def pages(get: Callable[[str], Any], path: str) -> Iterator[Any]:
    """Yield the entries of a list that comes in pages of a hundred."""
    number = 1
    while True:
        found = get(f"{path}{'&' if '?' in path else '?'}per_page=100&page={number}") or []
        yield from found
        if len(found) < 100:
            return
        number += 1


class GitHub:
    """With the token of the job, `GITHUB_TOKEN`."""

    def __init__(self) -> None:
        self.repository = os.environ["GITHUB_REPOSITORY"]
        self.token = os.environ.get("GITHUB_TOKEN", "")

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"}
        return call(method, f"{os.environ['GITHUB_API_URL']}/repos/{self.repository}/{path}", headers, body)

    def get(self, path: str) -> Any:
        return self("GET", path)

    def labels(self, commit: str) -> set[str]:
        merged = [one for one in self.get(f"commits/{commit}/pulls") or [] if one["merge_commit_sha"] == commit]
        return {label["name"] for one in merged if one["merged_at"] for label in one["labels"]}

    def announce(self, tag: str) -> None:
        if git("remote", "get-url", "--push", "origin").startswith(("git@", "ssh:")):
            print(f"the push of {tag} with the deploy key has started its pipeline")
        else:  # GitHub starts nothing by itself for a tag that a job has pushed with its own token
            self("POST", "actions/workflows/version.yml/dispatches", {"ref": tag})

    def images(self, name: str, folder: Path) -> str:
        """Push a report to a ref of its own, which no clone fetches; return the address of its files."""
        with tempfile.TemporaryDirectory() as scratch:
            for file in [folder / "report.md", *folder.glob("images/**/*.png")]:
                if is_inside(folder, file):  # nothing else of what a pull request made
                    target = Path(scratch, file.relative_to(folder))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)
            secret = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
            variables = {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{os.environ['GITHUB_SERVER_URL']}/.extraheader",
                "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {secret}",
            }
            git("init", "--quiet", cwd=scratch)
            git("add", "--all", cwd=scratch)
            who = ("-c", "user.name=CI", "-c", "user.email=ci@localhost")
            git(*who, "commit", "--quiet", "--no-verify", "-m", f"Report {name}", cwd=scratch)
            origin = git("remote", "get-url", "origin")
            if origin.startswith(("git@", "ssh:")):  # of a deploy key, which only that clone knows how to use
                origin = f"{os.environ['GITHUB_SERVER_URL']}/{self.repository}.git"
            git("push", "--quiet", "--force", origin, f"HEAD:refs/reports/{name}", cwd=scratch, variables=variables)
            commit = git("rev-parse", "HEAD", cwd=scratch)
        return f"{os.environ['GITHUB_SERVER_URL']}/{self.repository}/raw/{commit}/"

    def comment(self, folder: Path) -> None:
        event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        number = event["pull_request"]["number"]
        text = page(folder, self.images(str(number), folder))
        with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as summary:
            summary.write(text + "\n")
        body = {"body": f"{MARKER}\n{text}"}
        for note in pages(self.get, f"issues/{number}/comments"):
            if note["user"]["type"] == "Bot" and note["body"].startswith(MARKER):
                self("PATCH", f"issues/comments/{note['id']}", body)
                return
        self("POST", f"issues/{number}/comments", body)

    def propose(self, branch: str, title: str, folder: Path) -> None:
        text = page(folder, self.images(branch, folder))
        owner = self.repository.partition("/")[0]
        is_open = self.get(f"pulls?state=open&head={owner}:{branch}")
        if is_open:
            self("PATCH", f"pulls/{is_open[0]['number']}", {"body": text})
        else:
            base = os.environ["GITHUB_REF_NAME"]
            self("POST", "pulls", {"title": title, "head": branch, "base": base, "body": text})

    def release(self, tag: str, text: str, record: Path) -> None:
        found = self.get(f"releases/tags/{urllib.parse.quote(tag, safe='')}")
        if found:
            made = self("PATCH", f"releases/{found['id']}", {"body": text})
        else:
            made = self("POST", "releases", {"tag_name": tag, "name": tag, "body": text})
        for asset in made["assets"]:
            if asset["name"] == record.name:
                self("DELETE", f"releases/assets/{asset['id']}")
        url = f"{made['upload_url'].partition('{')[0]}?name={record.name}"
        call("POST", url, {"Authorization": f"Bearer {self.token}"}, content=record.read_bytes())


class GitLab:
    """With `FORGE_TOKEN`; releases with the job's own token."""

    def __init__(self) -> None:
        self.api = f"{os.environ['CI_API_V4_URL']}/projects/{os.environ['CI_PROJECT_ID']}"
        self.token = os.environ.get("FORGE_TOKEN", "")

    def __call__(self, method: str, path: str, body: Any = None, content: bytes | None = None) -> Any:
        own = path.startswith(("releases", "packages"))
        headers = {"JOB-TOKEN": os.environ["CI_JOB_TOKEN"]} if own else {"PRIVATE-TOKEN": self.token}
        return call(method, f"{self.api}/{path}", headers, body, content)

    def get(self, path: str) -> Any:
        return self("GET", path)

    def labels(self, commit: str) -> set[str]:
        if not self.token:
            return set()
        merged = self.get(f"repository/commits/{commit}/merge_requests") or []
        return {
            label
            for one in merged
            if one["state"] == "merged" and commit in (one["merge_commit_sha"], one["squash_commit_sha"], one["sha"])
            for label in one["labels"]
        }

    def announce(self, tag: str) -> None:
        print(f"the push of {tag} has started its pipeline")

    def images(self, folder: Path) -> str:
        """Return the address of the files that this job leaves as artifacts."""
        return f"{os.environ['CI_JOB_URL']}/artifacts/raw/{folder.as_posix()}/"

    def comment(self, folder: Path) -> None:
        if not self.token:
            print("no FORGE_TOKEN, no comment; the report is in the artifacts of this job (docs/ci.md)")
            return
        notes = f"merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes"
        text = f"{MARKER}\n{page(folder, self.images(folder))}"
        me = call("GET", f"{os.environ['CI_API_V4_URL']}/user", {"PRIVATE-TOKEN": self.token})["id"]
        for note in pages(self.get, notes):
            if note["author"]["id"] == me and note["body"].startswith(MARKER):
                self("PUT", f"{notes}/{note['id']}", {"body": text})
                return
        self("POST", notes, {"body": text})

    def propose(self, branch: str, title: str, folder: Path) -> None:
        text = page(folder, self.images(folder))
        is_open = self.get(f"merge_requests?state=opened&source_branch={branch}")
        if is_open:
            self("PUT", f"merge_requests/{is_open[0]['iid']}", {"description": text})
        else:
            target = os.environ["CI_DEFAULT_BRANCH"]
            fields = {"title": title, "source_branch": branch, "target_branch": target, "description": text}
            self("POST", "merge_requests", fields)

    def release(self, tag: str, text: str, record: Path) -> None:
        name, _, version = tag.partition("@")
        package = f"packages/generic/{name}/{version}/{record.name}"
        self("PUT", package, content=record.read_bytes())
        place = urllib.parse.quote(tag, safe="")
        if self.get(f"releases/{place}"):
            self("PUT", f"releases/{place}", {"description": text})
        else:
            links = [{"name": record.name, "url": f"{self.api}/{package}"}]
            fields = {"tag_name": tag, "name": tag, "description": text, "assets": {"links": links}}
            self("POST", "releases", fields)


def is_inside(folder: Path, file: Path) -> bool:
    """Tell whether a file of an artifact is one, and no link that leads out: a pull request made it."""
    return file.is_file() and file.resolve() == folder.resolve() / file.relative_to(folder)


def page(folder: Path, address: str) -> str:
    """Return a report whose images are found from everywhere."""
    file = folder / "report.md"
    if not is_inside(folder, file):
        sys.exit(f"{file} is no file of the report")
    text = file.read_text(encoding="utf-8").removeprefix(f"{MARKER}\n")
    if len(text) > LONGEST:
        text = text[:LONGEST].rpartition("\n")[0] + TOO_LONG
    return re.sub(r"\]\((images/[^)\s]+)\)", lambda link: f"]({address}{link[1]})", text)


def asked(forge: GitHub | GitLab) -> str | None:
    """Return what release the commit asks for, by its trailer or the label of its pull request; None for none."""
    said = git("log", "-1", f"--format=%(trailers:key={TRAILER},valueonly)").split()
    unknown = [word for word in said if word.lower() not in PARTS]
    if unknown:
        sys.exit(f"the trailer says {TRAILER}: {unknown[0]}; one of {', '.join(PARTS)} is known")
    if said:
        return PARTS[said[-1].lower()]
    return "auto" if LABEL in forge.labels(git("rev-parse", "HEAD")) else None


def main(action: str, *arguments: str) -> None:
    forge = GitLab() if os.environ.get("GITLAB_CI") else GitHub()
    if action == "asked":
        print(asked(forge) or "")
    elif action == "announce":
        tags = git("tag", "--points-at", "HEAD", "--list", "*@v*").splitlines()
        if not tags:
            sys.exit("this commit has no version to announce: model release makes one")
        forge.announce(tags[-1])
    elif action in ("comment", "propose") and not Path(arguments[-1], "report.md").exists():
        print(f"there is no report in {arguments[-1]}: nothing to {action}")
    elif action == "comment":
        forge.comment(Path(arguments[0]))
    elif action == "propose":
        forge.propose(arguments[0], git("log", "-1", "--format=%s"), Path(arguments[1]))
    elif action == "release":
        card, record = map(Path, arguments)
        tag = os.environ.get("CI_COMMIT_TAG") or os.environ["GITHUB_REF_NAME"]
        forge.release(tag, card.read_text(encoding="utf-8"), record)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or [""])
