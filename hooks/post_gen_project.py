"""Drop what the answers leave out, make the first commit, and say what to type next."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# A folder is kept only for these answers. (Single files drop out by a conditional name.)
FOLDERS = {".github": ("ci", ["github"]), ".gitlab": ("ci", ["gitlab"]), ".ci": ("ci", ["github", "gitlab"])}

# Set while git runs one of its own hooks; they would point at another repository.
GIT_LOCATIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


def drop_folders():
    for folder, (key, values) in FOLDERS.items():
        if ANSWERS[key] not in values:
            shutil.rmtree(folder)
    # What Python and the linters left in a work tree of the template.
    for name in ("__pycache__", ".mypy_cache", ".ruff_cache"):
        for cache in list(Path("packages").rglob(name)):
            shutil.rmtree(cache)


def git(*arguments):
    """Run git in this folder; return its output, or raise CalledProcessError."""
    environment = {key: value for key, value in os.environ.items() if key not in GIT_LOCATIONS}
    done = subprocess.run(
        ["git", *arguments], env=environment, check=True, capture_output=True, text=True, errors="replace"
    )
    return done.stdout.strip()


def has_identity():
    """Tell whether git knows who commits."""
    if os.environ.get("GIT_AUTHOR_EMAIL") and os.environ.get("GIT_COMMITTER_EMAIL"):
        return True
    try:
        return bool(git("config", "user.name") and git("config", "user.email"))
    except subprocess.CalledProcessError:
        return False


def enclosing_repository():
    """Return the top folder of a git repository around this project that does not ignore it, or None."""
    try:
        around = git("-C", "..", "rev-parse", "--show-toplevel")
    except subprocess.CalledProcessError:
        return None
    try:
        git("-C", "..", "check-ignore", "--quiet", str(Path.cwd()))
        return None
    except subprocess.CalledProcessError:
        return around


def first_commit():
    """Make the repository and its first commit; return what the user should know of it."""
    by_hand = 'git init -b main && git add -A && git commit -m "Start"'
    if Path(".git").exists():
        return ["The folder has a git repository already; nothing was committed."]
    if shutil.which("git") is None:
        return ["git is not installed, so nothing is committed yet. DVC needs it: install git, then", f"  {by_hand}"]
    notes = []
    around = enclosing_repository()
    if around:
        notes += [
            f"The project lies inside the git repository {around}, and has a repository of its own.",
            "Keep it out of the outer one (add it to its .gitignore), or move the project elsewhere.",
        ]
    name, mail = ANSWERS["__author_name"], ANSWERS["__author_email"]
    identity = () if has_identity() else ("-c", f"user.name={name}", "-c", f"user.email={mail}")
    try:
        git("init", "--quiet")
        git("symbolic-ref", "HEAD", "refs/heads/main")
        # Somebody's global ignore list must not leave out a part of the project.
        git("-c", "core.excludesFile=", "-c", "core.safecrlf=false", "add", "--all")
        # The user's own hooks and signing key are for the user's commits.
        git(*identity, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", "Start from the template")
    except (subprocess.CalledProcessError, OSError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip()
        return [*notes, f"git could not make the first commit: {reason}", "Fix that, then", f"  {by_hand}"]
    if identity:
        notes += [f"git knows no name for you, so the first commit is by {name} <{mail}>. For the next ones:"]
        notes += ['  git config --global user.name "..." && git config --global user.email "..."']
    return notes


def main():
    drop_folders()
    notes = first_commit()
    sys.stdout.reconfigure(errors="backslashreplace")
    print(f"\n{ANSWERS['project_name']} is ready in {Path.cwd().name}/.")
    for note in notes:
        print(note)
    print(
        f"""
Next:
  cd {Path.cwd().name}
  uv sync --compile-bytecode   # the environment; with pip: see README.md
  uv run dvc repro             # train
"""
    )


if __name__ == "__main__":
    main()
