"""One way to publish a tag: nothing half done, and a lost race is looked at again."""

import subprocess
from types import SimpleNamespace

import pytest
from modelbook import registry, store, workspace

pytestmark = pytest.mark.real


@pytest.fixture
def clones(tmp_path, monkeypatch):
    """Return two clones of one remote as projects, and a function that runs git in one of them."""
    for person in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{person}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{person}_EMAIL", "ann@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))

    def git(folder, *arguments):
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "hub")
    git(tmp_path, "clone", "--quiet", "hub", "a")
    git(tmp_path / "a", "commit", "--quiet", "--allow-empty", "-m", "x")
    git(tmp_path / "a", "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path, "clone", "--quiet", "hub", "b")

    def project(name, rules=None):
        here = store.git.Git(tmp_path / name)
        return SimpleNamespace(
            git=here, name="m", rules=lambda _: rules or {}, registry=lambda: registry.registry.read(here, "m")
        )

    return project, lambda name, *arguments: git(tmp_path / name, *arguments)


def tag(project, name, **others):
    return workspace.publish.NewTag(
        name=name,
        commit=project.git.commit("HEAD"),
        message=f"{name} of {project.git.root.name}\n",
        still="nothing changed",
        **others,
    )


def test_of_two_clones_that_take_one_number_the_second_takes_the_next(clones, refused):
    make, git = clones
    ours, theirs = make("a"), make("b")
    assert workspace.publish.publish(theirs, "origin", tag(theirs, "m@v1.0.0"))
    looked = []

    def propose(registry):
        looked.append(list(registry.versions))
        return tag(ours, f"m@v1.{len(registry.versions)}.0")

    taken = workspace.publish.ProjectError("taken", "why", "fix")
    made = workspace.publish.publish_next(ours, "origin", propose, taken)
    assert made.name == "m@v1.1.0"
    assert looked == [[], ["v1.0.0"]], "looked again after the lost race"
    assert git("hub", "tag").split() == ["m@v1.0.0", "m@v1.1.0"]
    with refused("taken"):
        workspace.publish.publish_next(ours, "origin", lambda _: tag(ours, "m@v1.0.0"), taken)


def test_nothing_is_published_where_nothing_is_proposed(clones):
    make, git = clones
    assert workspace.publish.publish_next(make("a"), "origin", lambda _: None, ValueError()) is None
    assert git("hub", "tag") == ""


def test_a_branch_that_the_remote_is_ahead_of_is_told_and_nothing_is_tagged(clones, refused):
    make, git = clones
    git("b", "commit", "--quiet", "--allow-empty", "-m", "theirs")
    git("b", "push", "--quiet", "origin", "HEAD:main")
    git("a", "commit", "--quiet", "--allow-empty", "-m", "ours")
    ours = make("a")
    with refused("origin has commits on main that are not here", "nothing was tagged", "git pull"):
        workspace.publish.publish(ours, "origin", tag(ours, "m@v1.0.0", branch="main"))
    assert git("hub", "tag") == git("a", "tag") == ""


def test_a_push_that_is_denied_is_another_fault(clones, refused, tmp_path):
    make, git = clones
    hook = tmp_path / "hub" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho no, not now >&2; exit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    ours = make("a")
    with refused("origin did not take the tag", "nothing changed", "git push --dry-run"):
        workspace.publish.publish(ours, "origin", tag(ours, "m@v1.0.0", branch="main"))
    assert git("a", "tag") == ""


@pytest.mark.parametrize("remote", ["origin", None])
def test_a_tag_that_cannot_be_signed_is_told_in_words(clones, refused, remote):
    make, git = clones
    git("a", "config", "gpg.format", "ssh")
    git("a", "config", "user.signingkey", "/no/such/key.pub")
    ours = make("a", {"sign_tags": True})
    with refused("could not be signed", "sign_tags is true", "user.signingkey"):
        workspace.publish.publish(ours, remote, tag(ours, "m@v1.0.0"))
    assert git("hub", "tag") == git("a", "tag") == ""
