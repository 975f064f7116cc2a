"""Every call of git, as argument lists; never through a shell."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError

#: A network operation that takes longer than this has hung.
NETWORK_SECONDS = 120
#: A push also runs the user's hooks; that of `dvc install` sends data.
PUSH_SECONDS = 3600
#: git answers these when another tag of the name came first: from the server, or from the local check of a lease.
LOST_RACE = ("already exists", "stale info", "reference already exists", "cannot lock ref", "failed to update ref")
#: A signature's first line; the JSON of our messages has no line of its own that begins so.
SIGNED = re.compile(r"^-----BEGIN [A-Z ]+-----$", re.MULTILINE)


class GitError(ProjectError):
    """A git command that failed; `stderr` says why, in git's words."""

    def __init__(self, arguments: Sequence[str], stderr: str) -> None:
        self.arguments, self.stderr = arguments, stderr.strip()
        super().__init__(
            f"git {' '.join(arguments[:2])} failed: {last_line(stderr)}",
            "git says so",
            f"mend that (git {' '.join(arguments)} shows more), then the same command again",
        )


@dataclass(frozen=True)
class Git:
    """A git repository's work tree.

    Attributes
    ----------
    root : Path
        The top folder.
    """

    root: Path

    def run(
        self,
        *arguments: str,
        text: str | None = None,
        timeout: float | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run git; return its output without the last newline, or raise `GitError`."""
        content = None if text is None else text.encode()
        output = self.run_bytes(*arguments, content=content, timeout=timeout, variables=variables)
        return output.decode("utf-8", "replace").removesuffix("\n")

    def run_bytes(
        self,
        *arguments: str,
        content: bytes | None = None,
        timeout: float | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run git; return its output as it is, or raise `GitError`."""
        # LC_ALL: reasons are read. GIT_TERMINAL_PROMPT: a question nobody sees would hang.
        environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(variables or {})}
        try:
            done = subprocess.run(  # noqa: S603 (an argument list)
                ["git", *arguments],  # noqa: S607 (the git that the user types)
                cwd=self.root,
                env=environment,
                input=content,
                stdin=subprocess.DEVNULL if content is None else None,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GitError(arguments, f"no answer within {timeout:.0f} s") from None
        if done.returncode:
            raise GitError(arguments, (done.stderr or done.stdout).decode("utf-8", "replace"))
        return done.stdout

    def try_run(self, *arguments: str) -> str | None:
        """Run git; return its output, or None if it fails."""
        try:
            return self.run(*arguments)
        except GitError:
            return None

    # --- reading ---

    def commit(self, rev: str) -> str:
        """Return the full hash of a revision's commit."""
        found = self.try_run("rev-parse", "--verify", "--quiet", "--end-of-options", rev + "^{commit}")
        if found is None:
            raise ProjectError(f"{rev} is no commit here", "git does not know it", "git fetch --tags, or git log")
        return found

    def file(self, rev: str, path: str) -> bytes | None:
        """Return a file's content at a revision, or None if it is not there."""
        try:
            return self.run_bytes("cat-file", "blob", f"{rev}:{path}")
        except GitError:
            return None

    def files(self, rev: str) -> dict[str, str]:
        """Return the blob hash of each path at a revision."""
        lines = self.run("ls-tree", "-r", "-z", rev).split("\0")
        return {path: entry.split()[2] for entry, _, path in (line.partition("\t") for line in lines if line)}

    def branch(self) -> str | None:
        """Return the current branch, or None on a detached HEAD."""
        return self.try_run("symbolic-ref", "--quiet", "--short", "HEAD")

    def changes(self) -> list[str]:
        """Return what is not committed, as `git status --porcelain` writes it."""
        return [
            line
            for line in self.run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
            if line
        ]

    def is_ancestor(self, older: str, newer: str) -> bool:
        return self.try_run("merge-base", "--is-ancestor", older, newer) is not None

    def is_shallow(self) -> bool:
        return self.run("rev-parse", "--is-shallow-repository") == "true"

    def identity(self) -> str:
        """Return who acts, as `Name <mail>`."""
        try:
            name, _, rest = self.run("var", "GIT_COMMITTER_IDENT").rpartition(" <")
        except GitError:
            raise ProjectError(
                "git does not know who you are",
                "a version and a promotion name the person who made them",
                'git config user.name "Your Name" && git config user.email you@example.com',
            ) from None
        return f"{name} <{rest.partition('>')[0]}>"

    def remote(self) -> str | None:
        """Return the remote that versions are shared through: the branch's own, `origin`, or the only one."""
        remotes = (self.try_run("remote") or "").split()
        branch = self.branch()
        chosen = self.try_run("config", f"branch.{branch}.remote") if branch else None
        if chosen in remotes:
            return chosen
        if "origin" in remotes:
            return "origin"
        return remotes[0] if len(remotes) == 1 else None

    # --- tags ---

    def tags(self, hashes: Sequence[str]) -> list[str]:
        """Return the text of each tag object, with one call of git for all."""
        answer = self.run_bytes("cat-file", "--batch", content="\n".join(hashes).encode())
        found, place = [], 0
        for _ in hashes:
            end = answer.index(b"\n", place)
            size = int(answer[place:end].split()[2])
            place = end + 1
            found.append(answer[place : place + size].decode("utf-8", "replace"))
            place += size + 1
        return found

    def verify_tag(self, tag: str) -> tuple[bool, str]:
        """Return whether a tag's signature is good, and what git says of it."""
        done = subprocess.run(  # noqa: S603 (an argument list)
            ["git", "verify-tag", "--raw", tag],  # noqa: S607 (the git that the user types)
            cwd=self.root,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0, done.stderr.decode("utf-8", "replace")

    def tag_names(self, *patterns: str) -> set[str]:
        """Return the names of the tags that are here, by patterns of whole refs."""
        return set(self.run("for-each-ref", "--format=%(refname:strip=2)", *patterns).splitlines())

    def tag_object(self, name: str, commit: str, message: str, sign: bool = False) -> str:
        """Write an annotated tag to the object store, without a ref; return its hash.

        A ref would be seen before it is pushed. `git tag` can only write both,
        so it runs in a scratch repository that shares nothing but the objects.
        """
        if not sign:
            tagger = self.run("var", "GIT_COMMITTER_IDENT")
            text = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message.rstrip()}\n"
            return self.run("mktag", text=text)
        with tempfile.TemporaryDirectory() as scratch:
            common = Path(self.run("rev-parse", "--path-format=absolute", "--git-common-dir"))
            self.run("init", "--quiet", "--bare", scratch)
            if (common / "config").exists():  # the key to sign with may be set for this repository alone
                shutil.copy(common / "config", Path(scratch, "config"))
            there = {"GIT_DIR": scratch, "GIT_OBJECT_DIRECTORY": str(common / "objects")}
            self.run("tag", "--sign", "--cleanup=verbatim", "--file=-", name, commit, text=message, variables=there)
            made = self.run("rev-parse", f"refs/tags/{name}", variables=there)
        if not SIGNED.search(self.tags([made])[0]):  # git before 2.40, when ssh-keygen finds no key
            raise GitError(("tag", "--sign"), "the key of user.signingkey could not sign, and git made a tag without")
        return made

    def publish(self, refs: dict[str, str], remote: str | None, branches: Mapping[str, str] | None = None) -> None:
        """Make new tags known: to the remote first, all or none, then here.

        Parameters
        ----------
        refs : dict of str to str
            Tag name to the hash of its object. None may exist yet.
        remote : str or None
        branches : mapping of str to str, optional
            Branches to push with them, and the commit of each.

        Raises
        ------
        TakenError
            If one of the names was taken meanwhile; nothing has changed then.
        GitError
            If the remote refuses or cannot be reached.
        """
        here = self.tag_names("refs/tags") & refs.keys()
        if here:
            raise TakenError(("push",), f"{', '.join(sorted(here))} already exists here")
        if remote:
            leases = [f"--force-with-lease=refs/tags/{name}:" for name in refs]
            specs = [f"{value}:refs/tags/{name}" for name, value in refs.items()]
            specs += [f"{commit}:refs/heads/{branch}" for branch, commit in (branches or {}).items()]
            try:
                self.run("push", "--quiet", "--atomic", *leases, remote, *specs, timeout=PUSH_SECONDS)
            except GitError as error:
                there = self.remote_tags(remote)
                if all(there.get(name) == value for name, value in refs.items()):
                    pass  # it arrived; only the answer was lost
                elif any(name in there for name in refs):
                    raise TakenError(error.arguments, error.stderr) from None
                else:
                    raise
        lines = [f"create refs/tags/{name} {value}" for name, value in refs.items()]
        try:
            self.run("update-ref", "--stdin", text="\n".join(lines) + "\n")
        except GitError as error:
            if all(self.try_run("rev-parse", "--verify", "--quiet", f"refs/tags/{n}") == v for n, v in refs.items()):
                return  # another command of this clone fetched them just now
            if any(reason in error.stderr for reason in LOST_RACE):
                raise TakenError(error.arguments, error.stderr) from None
            raise

    def remote_tags(self, remote: str) -> dict[str, str]:
        """Return the object hash of each tag in a remote, or nothing if it cannot be asked."""
        try:
            lines = self.run("ls-remote", "--refs", "--tags", remote, timeout=NETWORK_SECONDS).splitlines()
        except GitError:
            return {}
        return {ref.removeprefix("refs/tags/"): value for value, _, ref in (line.partition("\t") for line in lines)}

    def remote_refs(self, remote: str, *patterns: str) -> dict[str, str]:
        """Return the object hash of each ref in a remote that fits a pattern; silence is a `ProjectError`."""
        try:
            lines = self.run("ls-remote", "--refs", remote, *patterns, timeout=NETWORK_SECONDS).splitlines()
        except GitError as error:
            raise _away(remote, error) from None
        return {ref: value for value, _, ref in (line.partition("\t") for line in lines)}

    def fetch_objects(self, remote: str, refs: Mapping[str, str]) -> None:
        """Bring what refs of a remote name into the object store; no ref changes here."""
        asked = self.run("cat-file", "--batch-check", text="\n".join(refs.values())).splitlines() if refs else []
        missing = {line.split()[0] for line in asked if line.endswith(" missing")}
        wanted = [ref for ref, value in refs.items() if value in missing]
        if wanted:
            options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--stdin")
            try:
                self.run("fetch", *options, remote, text="\n".join(wanted) + "\n", timeout=NETWORK_SECONDS)
            except GitError as error:
                raise _away(remote, error) from None

    def remotes(self) -> list[str]:
        """Return the names of all remotes."""
        return self.run("remote").splitlines()

    def commit_of(self, value: str) -> str | None:
        """Return the commit that an object leads to, or None if it leads to none; one that is not here is an error."""
        self.run("cat-file", "-e", value)
        return self.try_run("rev-parse", "--verify", "--quiet", value + "^{commit}")

    def stashes(self) -> list[str]:
        """Return the commit of each stash."""
        return (self.try_run("log", "--walk-reflogs", "--format=%H", "refs/stash", "--") or "").split()

    def worktrees(self) -> dict[Path, str]:
        """Return the commit of each worktree of this repository."""
        entries = self.run("worktree", "list", "--porcelain").split("\n\n")
        parts = [dict(line.partition(" ")[::2] for line in entry.splitlines()) for entry in entries]
        return {Path(part["worktree"]): part["HEAD"] for part in parts if "HEAD" in part}

    def fetch_tags(self, remote: str) -> None:
        """Fetch all tags; a remote that cannot be reached is a `ProjectError`."""
        try:
            # A user's setting to prune would delete versions that are only here.
            keep = ("-c", "fetch.prune=false", "-c", "fetch.pruneTags=false")
            self.run(*keep, "fetch", "--tags", remote, timeout=NETWORK_SECONDS)
        except GitError as error:
            if "would clobber existing tag" in error.stderr:
                return  # a tag was moved somewhere; `status` and `verify` say which
            raise _away(remote, error) from None


def _away(remote: str, error: GitError) -> ProjectError:
    return ProjectError(
        f"the git remote {remote} does not answer: {last_line(error.stderr)}",
        "somebody may have released or promoted since the last fetch",
        f"mend the connection (try: git fetch {remote}), then the same command again",
    )


class TakenError(GitError):
    """Another clone took the tag name first."""


def last_line(text: str) -> str:
    """Return git's own verdict, or else the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return (fatal or lines or ["no reason given"])[-1]
