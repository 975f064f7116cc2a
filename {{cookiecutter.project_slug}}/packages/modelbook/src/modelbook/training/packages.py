"""What is installed, and whether it is what was noted: the version, and the source where that is no package index.

A noted package is `2.4.6`, or `0.1.0 @ SOURCE` for what comes from a commit of a
git repository, an address or a folder: two contents of one of these may have the
same version number.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

#: Folders of a package that hold nothing of it.
NOT_CONTENT = re.compile(r"^(\.|__pycache__$|build$|dist$)|\.egg-info$")


def noted(version: str, source: str | None) -> str:
    """Return how a version and its source are noted; without a source it is from a package index."""
    return f"{version} @ {source}" if source else version


def git_source(url: str, commit: str) -> str:
    """Return the source of what was built from a commit."""
    return f"git+{without_secrets(url)}@{commit}"


def file_source(url: str, digest: str | None) -> str:
    """Return the source of what was built from one file, by its address and sha256."""
    return without_secrets(url) + (f"#sha256={digest}" if digest else "")


def folder_source(name: str, folder: Path) -> str:
    """Return the source of what was built from a folder, by its name and a hash of what is in it."""
    digest = sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        inside = file.relative_to(folder)
        if not any(NOT_CONTENT.search(part) for part in inside.parts):
            digest.update(f"{inside.as_posix()} {sha256(file.read_bytes()).hexdigest()}\n".encode())
    return f"{name}#sha256={digest.hexdigest()}"


def without_secrets(url: str) -> str:
    """Return an address without the name and password, the query and the fragment that it may hold."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def installed(name: str) -> str | None:
    """Return the installed version of a package with its source, or None if it is not installed.

    The source stands in `direct_url.json` of the installed package (PEP 610).
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return noted(found.version, _source(found.read_text("direct_url.json")))


def _source(text: str | None) -> str | None:
    if text is None:
        return None
    direct = json.loads(text)
    url = str(direct["url"])
    if "vcs_info" in direct:
        return git_source(url, direct["vcs_info"]["commit_id"])
    if "dir_info" in direct:
        return folder_source(url, Path(url2pathname(urlsplit(url).path)))
    archive = direct.get("archive_info") or {}
    hashes = archive.get("hashes") or dict([str(archive.get("hash", "=")).split("=", 1)])
    return file_source(url, hashes.get("sha256"))


@dataclass(frozen=True)
class Mismatch:
    """A package that is not installed as it was noted.

    Attributes
    ----------
    name : str
    noted : str
    installed : str or None
        None: it is not installed.
    """

    name: str
    noted: str
    installed: str | None


def mismatches(noted_packages: Mapping[str, str]) -> list[Mismatch]:
    """Return the packages of which another version, or none, is installed."""
    pairs = ((name, wanted, installed(name)) for name, wanted in noted_packages.items())
    return [Mismatch(name, wanted, here) for name, wanted, here in pairs if here is None or differs(wanted, here)]


def python_version() -> str:
    """Return the minor version of this Python, such as `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def differs(wanted: str, found: str) -> bool:
    """Tell whether an installed package is another than the noted one; ` or ` joins several that may be.

    A local build label such as `+cpu` counts for nothing: lock files may or may
    not hold it. A source counts by what it ends with, the commit or the hash.
    """
    return bool(wanted) and _content(found) not in map(_content, wanted.split(" or "))


def _content(entry: str) -> tuple[str, str]:
    version, _, source = entry.partition(" @ ")
    return version.partition("+")[0], re.split(r"[@=]", source)[-1]
