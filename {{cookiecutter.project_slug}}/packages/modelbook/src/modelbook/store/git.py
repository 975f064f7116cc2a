"""Every call of git, as argument lists; never through a shell.

What git prints and does here depends on the folder alone: not on the variables
of a hook that this runs in, nor on a user's settings for how git should look.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError

#: Work in the clone that takes longer than this has hung; a partial clone may ask its remote, a signature its owner.
LOCAL_SECONDS = 600
#: A network operation that takes longer than this has hung.
NETWORK_SECONDS = 120
#: A push also runs the user's hooks; that of `dvc install` sends data.
PUSH_SECONDS = 3600
#: Variables that say which repository, index or objects git means. Hooks have them, and they hold for any git that a
#: hook starts, in whatever folder. https://git-scm.com/docs/git-rev-parse (--local-env-vars; those that carry
#: `git -c` settings are kept, as git itself keeps them for submodules)
LOCAL_VARIABLES = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR", "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
}  # fmt: skip
#: Settings of a user that would change what is read here, or start what outlives a command.
PLAIN = tuple(
    word
    for setting in (
        "color.ui=false",
        "core.fsmonitor=false",  # the daemon would keep our pipes open, and watch each release directory
        "core.quotePath=false",
        "diff.autoRefreshIndex=true",
        "diff.orderFile=/dev/null",
        "i18n.logOutputEncoding=UTF-8",
        "log.showSignature=false",
        "maintenance.auto=false",
    )
    for word in ("-c", setting)
)
#: A user's setting to prune, for all remotes or for one, would delete versions that are only here.
FETCH = ("--no-prune", "--no-prune-tags", "--no-recurse-submodules")
#: Settings for a worktree that must hold the bytes of the commit, all of them, whatever the user's own one holds.
AS_COMMITTED = (
    "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "core.sparseCheckout=false",
    "-c", "core.hooksPath=/dev/null",  # `dvc install` sets a hook that checks everything out
    "-c", "worktree.useRelativePaths=false",  # an extension that DVC's readers of git do not know
)  # fmt: skip
#: LC_ALL: reasons are read. GIT_TERMINAL_PROMPT: a question nobody sees would hang. GIT_NO_REPLACE_OBJECTS: a hash
#: names what the remote has under it, too.
ANSWERS = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
#: A signature's first line; the JSON of our messages has no line of its own that begins so.
SIGNED = re.compile(r"^-----BEGIN [A-Z ]+-----$", re.MULTILINE)


def environment() -> dict[str, str]:
    """Return the variables of this process, without those that say which repository git means."""
    return {name: value for name, value in os.environ.items() if name not in LOCAL_VARIABLES}


class GitError(ProjectError):
    """A git command that failed; `stderr` says why, in git's words."""

    def __init__(self, arguments: Sequence[str], stderr: str) -> None:
        self.arguments, self.stderr = arguments, stderr.strip()
        first = next((n for n in range(0, len(arguments), 2) if arguments[n] != "-c"), 0)
        super().__init__(
            f"git {' '.join(arguments[first : first + 2])} failed: {last_line(stderr)}",
            "git says so",
            f"fix that (git {' '.join(arguments)} shows more), then the same command again",
        )


@dataclass(frozen=True)
class Git:
    """A git repository's work tree.

    Attributes
    ----------
    root : Path
        The top folder.
    follows_variables : bool
        Whether `GIT_DIR` and the like say which repository is meant, as for git itself; else the folder alone does.
    """

    root: Path
    follows_variables: bool = False

    def run(
        self,
        *arguments: str,
        text: str | None = None,
        timeout: float = LOCAL_SECONDS,
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
        timeout: float = LOCAL_SECONDS,
        variables: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run git; return its output as it is, or raise `GitError`."""
        done = self._done(arguments, content, timeout, variables)
        if done.returncode:
            raise GitError(arguments, (done.stderr or done.stdout).decode("utf-8", "replace"))
        return done.stdout

    def _done(
        self,
        arguments: Sequence[str],
        content: bytes | None = None,
        timeout: float = LOCAL_SECONDS,
        variables: Mapping[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(  # noqa: S603 (an argument list)
                ["git", *PLAIN, *arguments],  # noqa: S607 (the git that the user types)
                cwd=self.root,
                env={**(os.environ if self.follows_variables else environment()), **ANSWERS, **(variables or {})},
                input=content,
                stdin=subprocess.DEVNULL if content is None else None,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GitError(arguments, f"no answer within {timeout:.0f} s") from None

    def try_run(self, *arguments: str) -> str | None:
        """Run git; return its output, or None if it fails."""
        try:
            return self.run(*arguments)
        except GitError:
            return None

    # --- reading ---

    def commit(self, rev: str) -> str:
        """Return the full hash of a revision's commit."""
        value = self.try_run("rev-parse", "--verify", "--quiet", "--end-of-options", rev + "^{commit}")
        if value is None:
            raise ProjectError(f"{rev} is no commit here", "git does not know it", "git fetch --tags, or git log")
        return value

    def file(self, rev: str, path: str) -> bytes | None:
        """Return a file's content at a revision, or None if it is not there."""
        try:
            return self.run_bytes("cat-file", "blob", f"{rev}:{path}")
        except GitError:
            commit = self.try_run("rev-parse", "--verify", "--quiet", "--end-of-options", rev + "^{commit}")
            if commit and " blob " in self.run("ls-tree", "-z", "--full-tree", commit, "--", path):
                raise  # it is there, and cannot be had: the remote of a partial clone is away
            return None

    def tree(self, rev: str) -> dict[str, tuple[int, str]]:
        """Return mode and blob hash of each path at a revision; submodules are left out."""
        return {path: (mode, sha) for path, mode, kind, sha in self._entries(rev) if kind == "blob"}

    def submodules(self, rev: str) -> list[str]:
        """Return the path of each submodule at a revision."""
        return [path for path, _, kind, _ in self._entries(rev) if kind == "commit"]

    def _entries(self, rev: str) -> Iterator[tuple[str, int, str, str]]:
        for line in self.run("ls-tree", "-r", "-z", "--full-tree", rev).split("\0")[:-1]:
            entry, _, path = line.partition("\t")
            mode, kind, sha = entry.split()
            yield path, int(mode, 8), kind, sha

    def files(self, rev: str) -> list[str]:
        """Return the path of each file at a revision."""
        return list(self.tree(rev))

    def contents(self, hashes: Sequence[str]) -> list[bytes]:
        """Return the content of each object, with one call of git for all."""
        answer = self.run_bytes("cat-file", "--batch", content="\n".join(hashes).encode())
        contents, place = [], 0
        for value in hashes:
            end = answer.index(b"\n", place)
            size = answer[place:end].split()[-1]
            if not size.isdigit():
                raise GitError(("cat-file", "-p", value), f"the object {value} is missing")
            place = end + 1
            contents.append(answer[place : place + int(size)])
            place += int(size) + 1
        return contents

    def branch(self) -> str | None:
        """Return the current branch, or None on a detached HEAD."""
        return self.try_run("symbolic-ref", "--quiet", "--short", "HEAD")

    def changes(self, *paths: str) -> list[str]:
        """Return what is not committed, of all files or of some, as `git status --porcelain` writes it."""
        options = ("--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none")
        return [line for line in self.run("status", *options, "--", *paths).split("\0") if line]

    def hidden(self) -> list[str]:
        """Return the files that are here and whose changes git was told to pass over."""
        entries = [line.partition(" ")[::2] for line in self.run("ls-files", "-v", "-z").split("\0") if line]
        # Small letters: assumed unchanged. S: not wanted in this worktree; git leaves those out, if they are not.
        flagged = [path for tag, path in entries if tag.islower() or tag == "S"]
        return [path for path in flagged if os.path.lexists(self.root / path)]

    def differences(self, *revs: str) -> list[tuple[str, str, str]]:
        """Return path, lines added and lines removed of each file that differs between two revisions.

        With one revision: between it and the files as they are here.
        """
        options = (
            "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-relative",
            "--diff-algorithm=myers", "--ignore-submodules=none",
        )  # fmt: skip
        lines = self.run("diff", *options, *revs, "--").split("\0")
        return [(path, added, removed) for added, removed, path in (line.split("\t", 2) for line in lines if line)]

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
        return [content.decode("utf-8", "replace") for content in self.contents(hashes)]

    def verify_tag(self, tag: str) -> tuple[bool, str]:
        """Return whether a tag's signature is good, and what git says of it."""
        done = self._done(("verify-tag", "--raw", tag))
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
        # Who signs with which key may be set for this repository, this worktree or this folder alone.
        entries = (self.try_run("config", "--null", "--get-regexp", r"^(committer|gpg|user)\.") or "").split("\0")[:-1]
        settings = [word for entry in entries for word in ("-c", entry.replace("\n", "=", 1))]
        common = Path(self.run("rev-parse", "--path-format=absolute", "--git-common-dir"))
        form = self.run("rev-parse", "--show-object-format")
        with tempfile.TemporaryDirectory() as scratch:
            self.run("init", "--quiet", "--bare", f"--object-format={form}", scratch)
            there = {"GIT_DIR": scratch, "GIT_OBJECT_DIRECTORY": str(common / "objects")}
            options = ("--sign", "--cleanup=verbatim", "--file=-")
            try:
                self.run(*settings, "tag", *options, name, commit, text=message, variables=there)
            except GitError as error:
                raise GitError(("tag", "--sign"), error.stderr) from None
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
        BehindError
            If the remote has commits on one of the branches that are not here.
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
                self.push(remote, *specs, options=("--atomic", *leases))
            except GitError as error:
                there = self.remote_tags(remote)
                if all(there.get(name) == value for name, value in refs.items()):
                    pass  # it arrived; only the answer was lost
                elif any(name in there for name in refs):
                    raise TakenError(error.arguments, error.stderr) from None
                elif self._is_behind(remote, branches or {}):
                    raise BehindError(error.arguments, error.stderr) from None
                else:
                    raise
        lines = [f"create refs/tags/{name} {value}" for name, value in refs.items()]
        try:
            self.run("update-ref", "--stdin", text="\n".join(lines) + "\n")
        except GitError as error:
            if all(self.try_run("rev-parse", "--verify", "--quiet", f"refs/tags/{n}") == v for n, v in refs.items()):
                return  # another command of this clone fetched them just now
            if self.tag_names("refs/tags") & refs.keys():
                raise TakenError(error.arguments, error.stderr) from None
            raise

    def _is_behind(self, remote: str, branches: Mapping[str, str]) -> bool:
        """Tell whether a branch in the remote, if it can be asked, has commits that a commit does not follow."""
        refs = {f"refs/heads/{branch}": commit for branch, commit in branches.items()}
        try:
            there = self.remote_refs(remote, *refs) if refs else {}
        except ProjectError:
            return False
        return any(not self.is_ancestor(value, refs[ref]) for ref, value in there.items() if ref in refs)

    def push(self, remote: str, *specs: str, options: Sequence[str] = ()) -> None:
        """Push what is named and nothing else, whatever a user's settings would add."""
        # A user's wish to sign each push stops it where the remote cannot take that.
        sign = self.try_run("config", "--type=bool", "push.gpgSign") == "true"
        plain = ("--quiet", "--no-follow-tags", "--recurse-submodules=no", *(("--signed=if-asked",) if sign else ()))
        self.run("push", *plain, *options, remote, *specs, timeout=PUSH_SECONDS)

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
                self.run("fetch", *FETCH, *options, remote, text="\n".join(wanted) + "\n", timeout=NETWORK_SECONDS)
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
            self.run("fetch", *FETCH, "--tags", remote, timeout=NETWORK_SECONDS)
        except GitError as error:
            if "would clobber existing tag" in error.stderr:
                return  # a tag was moved somewhere; `status` and `verify` say which
            raise _away(remote, error) from None


def _away(remote: str, error: GitError) -> ProjectError:
    return ProjectError(
        f"the git remote {remote} does not answer: {last_line(error.stderr)}",
        "someone may have released or promoted since the last fetch",
        f"fix the connection (try: git fetch {remote}), then the same command again",
    )


class TakenError(GitError):
    """Another clone took the tag name first."""


class BehindError(GitError):
    """The remote has commits on a branch that are not here."""


def tag_fault(error: GitError, remote: str | None, still: str) -> ProjectError:
    """Say why there is no new tag; `still` says what is as it was."""
    reason, doing = last_line(error.stderr), error.arguments[0]
    if doing == "tag":
        return ProjectError(
            f"the tag could not be signed: {reason}",
            "sign_tags is true in conf/stages/",
            "git config user.signingkey KEY (and gpg.format ssh for an SSH key), or sign_tags: false",
        )
    if remote and doing == "push":
        return ProjectError(
            f"the git remote {remote} did not take the tag: {reason}",
            still,
            f"fix that (try: git push --dry-run {remote}), then the same command again",
        )
    if remote and doing == "update-ref":
        return ProjectError(
            f"the git remote {remote} has the new tag, but git could not write it here: {reason}",
            "it counts for everyone; only this clone does not know it yet",
            f"fix that (is the folder of git writable?), then git fetch --tags {remote}",
        )
    return ProjectError(
        f"git could not write the tag: {reason}",
        still,
        "fix that (is the folder of git writable? git rev-parse --git-dir names it), then the same command again",
    )


def last_line(text: str) -> str:
    """Return git's own verdict, or else the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("hint:")]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return (fatal or lines or ["no reason given"])[-1]
