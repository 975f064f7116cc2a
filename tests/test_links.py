"""Every relative link of every page leads somewhere: to a file, and to a heading in it."""

import re
from itertools import pairwise
from urllib.parse import unquote

import pytest
from conftest import TEMPLATE
from markdown_it import MarkdownIt

#: Answers that change which pages there are, and what they say.
CHOICES = [{}, {"ci": "gitlab", "task": "regression", "storage": "s3://bucket/prefix"}, {"ci": "none"}]
PARSER = MarkdownIt("gfm-like", {"linkify": False})


def links(page):
    """Yield the target of each relative link and image."""
    for token in PARSER.parse(page.read_text(encoding="utf-8")):
        for child in token.children or []:
            target = child.attrs.get("href") or child.attrs.get("src") or ""
            if target and not re.match(r"[a-z]+:", target):
                yield unquote(target)


def anchors(page):
    """Return the anchor that GitHub and GitLab give to each heading: small letters, dashes for spaces."""
    tokens = PARSER.parse(page.read_text(encoding="utf-8"))
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def check(pages):
    for page in pages:
        for link in links(page):
            file, _, anchor = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("answers", CHOICES)
def test_every_link_of_a_project_leads_somewhere(generate, tmp_path, answers):
    project = generate(tmp_path, **answers)
    pages = list(project.rglob("*.md"))
    assert len(pages) > 20
    check(pages)
    named = set(links(project / "README.md"))
    for page in (project / "docs").glob("*.md"):
        assert f"docs/{page.name}" in named, f"README.md names no {page.name}"


def test_every_link_of_the_template_leads_somewhere():
    check([TEMPLATE / "README.md", TEMPLATE / "CHANGELOG.md", *(TEMPLATE / "docs").glob("*.md")])


def test_both_readmes_show_the_same_picture(generate, tmp_path):
    pages = [TEMPLATE / "README.md", generate(tmp_path) / "README.md"]
    pictures = [re.findall(r"```mermaid\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL) for page in pages]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 1
