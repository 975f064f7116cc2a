"""The one way to publish a tag: to the git remote first, then here, and nowhere if its name was taken meanwhile.

A tag's name is a compare-and-swap: of two clones that take the same number, one is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ..errors import ProjectError
from ..registry.registry import Registry
from ..store.git import BehindError, GitError, TakenError, tag_fault
from .project import Project

#: How often a lost race for a number is tried again.
RACES = 10


@dataclass(frozen=True, kw_only=True)
class NewTag:
    """An annotated tag that is to be published.

    Attributes
    ----------
    name, commit, message : str
    still : str
        What is as it was if it cannot be published, for people.
    branch : str, optional
        The branch that is pushed with it, both or neither.
    """

    name: str
    commit: str
    message: str
    still: str
    branch: str | None = None


#: What is proposed: a tag, or something more that is one; None where none may be needed.
Proposal = TypeVar("Proposal", bound=NewTag | None)


def publish(project: Project, remote: str | None, tag: NewTag) -> bool:
    """Publish a tag, in the remote and here, signed if `conf/stages/` says so.

    Returns
    -------
    bool
        False if the name was taken meanwhile; nothing has changed then, and the other tag is here.

    Raises
    ------
    ProjectError
        If it could not be signed, pushed or written.
    """
    git = project.git
    try:
        made = git.tag_object(tag.name, tag.commit, tag.message, sign=bool(project.rules("stages").get("sign_tags")))
        git.publish({tag.name: made}, remote, {tag.branch: tag.commit} if tag.branch else {})
    except TakenError:
        if remote:
            git.fetch_tags(remote)
        return False
    except BehindError:
        raise ProjectError(
            f"{remote} has commits on {tag.branch} that are not here",
            "the branch and the tag are pushed together or not at all; nothing was tagged",
            "git pull, dvc repro, commit, then model release",
        ) from None
    except GitError as error:
        raise tag_fault(error, remote, tag.still) from None
    return True


def publish_next(
    project: Project, remote: str | None, propose: Callable[[Registry], Proposal], taken: ProjectError
) -> Proposal:
    """Publish the tag that is proposed for what the registry says, looking again whenever its name was taken.

    Parameters
    ----------
    project : Project
    remote : str or None
    propose : callable
        Returns the tag, or None if none is needed any more.
    taken : ProjectError
        What to raise if others take the name each time.
    """
    for _ in range(RACES):
        tag = propose(project.registry())
        if tag is None or publish(project, remote, tag):
            return tag
    raise taken
