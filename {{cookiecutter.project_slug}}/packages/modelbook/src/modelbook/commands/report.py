"""`model report`: how what is trained here compares with the live version, as a page with images for a reviewer."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..errors import ProjectError
from ..formats import markdown_table
from ..progress import Say, silent
from ..registry import derive, record
from ..registry.derive import Source
from ..workspace.project import Project
from . import diff, gate

PAGE = "report.md"
#: The first line of a page that this command wrote, and may replace.
MARKER = "<!-- model report -->"
IMAGES = "images"
#: Sections of the comparison that a reviewer of a model wants; the forge shows the code itself.
SECTIONS = ("metrics", "params", "data", "packages")


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    verdict : record.Gate
    page : Path
        Markdown; it names its images by relative links.
    images : tuple of Path
    """

    verdict: record.Gate
    page: Path
    images: tuple[Path, ...]


def report(project: Project, folder: Path, against: str | None = None, say: Say = silent) -> Report:
    """Write the verdict of the gate, the comparison and the plots into a folder.

    Parameters
    ----------
    project : Project
    folder : Path
        What an earlier report wrote there is replaced.
    against : str, optional
        A version; left out: the one that the gate compares with.
    say : callable
    """
    verdict = gate.candidate(project, against, say)
    lines = [MARKER, f"# {project.name}: {_title(verdict)}", "", *_verdict(verdict), *_not_committed(project)]
    sources = {"candidate": derive.source(project.git, project.store, "", project.model_path)}
    if verdict.against is None:
        lines += ["Nothing is live yet that it could be compared with: the floors and the baseline decide.", ""]
        lines += [*_metrics(sources["candidate"]), ""]
    else:
        for section in diff.diff(project, verdict.against, diff.WORKSPACE, say, fetch=True):
            if section.title in SECTIONS:
                header = ["candidate" if name == diff.WORKSPACE else name for name in section.header]
                rows = markdown_table(header, section.rows) if section.rows else ["The same."]
                lines += [f"## {section.title.capitalize()}", "", *rows, ""]
        commit = project.registry().get(verdict.against).commit
        before = derive.source(project.git, project.store, commit, project.model_path)
        sources = {verdict.against: before, **sources}
    say("collecting plots")
    plots = {name: _plots(source) for name, source in sources.items()}
    page, images = folder / PAGE, folder / IMAGES
    _clear(folder)
    written = []
    for name, found in plots.items():
        for title, content in found.items():
            image = images / name / title
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(content)
            written.append(image)
    lines += _pictures(plots)
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return Report(verdict, page, tuple(written))


def _title(verdict: record.Gate) -> str:
    return f"candidate against {verdict.against}" if verdict.against else "candidate"


def _verdict(verdict: record.Gate) -> list[str]:
    rows = [("" if rule.passed else "**FAILED**", rule.rule, rule.required, rule.found) for rule in verdict.rules]
    return [
        f"**Gate {verdict.name}: {'passed' if verdict.passed else 'not passed'}**",
        "",
        *markdown_table(("", "rule", "required", "found"), rows),
        "",
    ]


def _not_committed(project: Project) -> list[str]:
    """Say so if the training changed files that the commit should hold."""
    changed = [entry[3:] for entry in project.git.changes() if entry[:2] != "??"]
    if not changed:
        return []
    names = ", ".join(f"`{name}`" for name in changed[:8])
    return [
        f"**The commit does not hold what was trained here** ({names}): "
        "type `dvc repro`, commit, `dvc push`. It cannot be released before.",
        "",
    ]


def _metrics(source: Source) -> list[str]:
    from .card import interval

    found = derive.evaluation(source)["test"]["metrics"]
    rows = [(name, interval(record.Value(**entry))) for name, entry in found.items()]
    return ["## Metrics", "", *markdown_table(("test", "candidate"), rows)]


def _plots(source: Source) -> dict[str, bytes]:
    """Return the images among the outputs, by their file names; those of the remote are fetched."""
    found = {}
    outs = [out for out in source.outs if out.path.partition("/")[0] == "plots"]
    for oid, path in source.store.objects(outs).items():
        if path.endswith(".png"):
            found[Path(path).name] = source.store.read(oid)
    return dict(sorted(found.items()))


def _pictures(plots: dict[str, dict[str, bytes]]) -> list[str]:
    """Return the plots side by side, a row for each."""
    titles = list(dict.fromkeys(title for found in plots.values() for title in found))
    if not titles:
        return []
    rows = ["| " + " | ".join(_picture(name, title, found) for name, found in plots.items()) + " |" for title in titles]
    return ["## Plots", "", "| " + " | ".join(plots) + " |", "|" + "---|" * len(plots), *rows]


def _picture(name: str, title: str, found: dict[str, bytes]) -> str:
    return f"![{Path(title).stem} of {name}]({quote(f'{IMAGES}/{name}/{title}')})" if title in found else "none"


def _clear(folder: Path) -> None:
    """Take away what an earlier report wrote, and nothing else."""
    page = folder / PAGE
    if page.is_file() and page.read_text(encoding="utf-8", errors="replace").startswith(MARKER):
        page.unlink()
        shutil.rmtree(folder / IMAGES, ignore_errors=True)
    if folder.exists() and (page.exists() or (folder / IMAGES).exists()):
        raise ProjectError(
            f"{folder} holds a {PAGE} or {IMAGES}/ that no report wrote",
            "it would be overwritten",
            "model report with the name of a new folder",
        )
    folder.mkdir(parents=True, exist_ok=True)
