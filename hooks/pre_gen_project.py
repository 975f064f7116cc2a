"""Check every answer before a file is written, and report all faults at once."""

import json
import keyword
import re
import sys
import unicodedata

# Jinja's tojson escapes apostrophes, so no answer can end these literals.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
# What was given on the command line or in a file, before cookiecutter evaluated it.
GIVEN = json.loads(r"""{{ _cookiecutter | default({}) | tojson }}""")

CHOICES = {
    "task": ("classification", "regression"),
    "ci": ("github", "gitlab", "none"),
    "python_version": ("3.11", "3.12", "3.13", "3.14"),
    "licence": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
}
TEXTS = {"project_name": 80, "description": 300, "author": 120}  # most characters

# Names that `import` or pip must find elsewhere: all packages in the project's environment. `make lock` writes them.
TAKEN = frozenset(
    """
    aiobotocore aiohappyeyeballs aiohttp aiohttp_retry aioitertools aiosignal amqp annotated_doc annotated_types antlr4
    antlr4_python3_runtime appdirs ast_serialize async_timeout asyncssh atpublic attr attrs billiard botocore celery
    certifi cffi charset_normalizer click click_didyoumean click_plugins click_repl cloudpickle colorama configobj
    contourpy cryptography cycler dataclasses dateutil dictdiffer diskcache distro dotenv dpath dulwich dvc dvc_data
    dvc_http dvc_objects dvc_render dvc_s3 dvc_studio_client dvc_task entrypoints exceptiongroup fastjsonschema filelock
    flatten_dict flufl flufl_lock fonttools frozenlist fsspec funcy git gitdb gitpython grandalf gto hatchling hydra
    hydra_core hypothesis idna importlib_resources iniconfig iterative_telemetry jmespath joblib jsonschema
    jsonschema_specifications jupyter jupyter_core kiwisolver kombu librt markdown_it markdown_it_py matplotlib mdurl
    mpl_toolkits multidict mypy mypy_extensions mypyc narwhals nbformat nbstripout networkx numpy omegaconf orjson
    packaging pandas pandera pathspec pil pillow pip platformdirs pluggy pre_commit_hooks prek prettytable
    prompt_toolkit propcache psutil public py pyarrow pycparser pydantic pydantic_core pydantic_settings pydevd_plugins
    pydot pygit2 pygments pygtrie pylab pyparsing pytest python_dateutil python_dotenv pywin32 pyyaml referencing
    requests rich rpds rpds_py ruamel ruamel_yaml ruamel_yaml_clib ruff s3fs scikit_learn scipy scmrepo semver
    setuptools shellingham shortuuid shtab six sklearn skops smmap sortedcontainers sqltrie tabulate threadpoolctl tomli
    tomlkit tqdm traitlets typeguard typer typing typing_extensions typing_inspect typing_inspection tzdata tzlocal
    urllib3 uv validate vine voluptuous wcwidth wrapt yaml yarl zc zc_lockfile
    """.split()
)
# The standard library of every Python that a project may have, beside that of the one that runs.
STANDARD_LIBRARY = sys.stdlib_module_names | frozenset(
    """aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp lib2to3
    mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib tomllib uu xdrlib""".split()
)
# Names of folders in the project, and of devices on Windows.
RESERVED = frozenset(
    "build conf data dist docs model modelbook notebooks packages plots predictions src test tests wheels".split()
) | frozenset("aux con nul prn".split())
RESERVED |= {f"{device}{number}" for device in ("com", "lpt") for number in range(10)}

#: Characters that reorder the text around them, so that it reads as it is not.
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
JINJA_OPENERS = ("{" + "{", "{" + "%", "{" + "#")


def text_faults(key, text, longest):
    """Yield what is wrong with a text that people read."""
    if not text.strip():
        yield key, "it is empty", "Penguins"
        return
    if len(text) > longest:
        yield key, f"it has {len(text)} characters, more than {longest}", text[:20].strip() + "..."
    if text != text.strip():
        yield key, "it begins or ends with a space", text.strip()[:longest]
    for character in text:
        # Cc: control characters, line breaks too; Cs: halves of characters; Zl, Zp: line and paragraph breaks.
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or ord(character) & 0xFFFE == 0xFFFE:
            yield key, f"it holds the character U+{ord(character):04X}, which no file shows", "one line of plain text"
            break
        if character in BIDI_CONTROLS:
            yield key, f"it holds U+{ord(character):04X}, which reorders the text around it", "the text without it"
            break
    opener = next((o for o in JINJA_OPENERS if o in text or o in str(GIVEN.get(key, ""))), None)
    if opener:
        yield key, f"it holds {opener}, which cookiecutter evaluates when it updates a project", "the text without it"


def slug_faults(slug):
    """Yield what is wrong with the name of the folder, package and model."""
    package = slug.replace("-", "_")
    better = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-0123456789")[:40].strip("-") or "penguins"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        yield "project_slug", "only small letters, digits and single dashes, a letter first", better
    elif len(slug) > 50:
        yield "project_slug", f"it has {len(slug)} characters, more than 50", better
    elif keyword.iskeyword(package) or keyword.issoftkeyword(package):
        yield "project_slug", f"{package!r} is a word of Python", f"{slug}-model"
    elif package in STANDARD_LIBRARY:
        yield "project_slug", f"{package!r} is a module of Python's standard library", f"{slug}-model"
    elif package in TAKEN:
        yield "project_slug", f"{package!r} is a package that the project needs itself", f"{slug}-model"
    elif package in RESERVED:
        yield "project_slug", f"{package!r} is the name of something else in the project", f"my-{slug}"


def author_faults(author):
    """Yield what is wrong with the author."""
    if not re.fullmatch(r"[^<>]*[^<> ] <[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+>", author):
        yield "author", "it is not of the form Name <mail>", "Ada Lovelace <ada@example.com>"


def storage_faults(storage, slug):
    """Yield what is wrong with the place of data and models."""
    example = f"../{slug if re.fullmatch('[a-z0-9-]+', slug) else 'penguins'}-storage"
    if storage.startswith("s3:"):
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9._-]*)*", storage):
            yield "storage", "it is not of the form s3://bucket/prefix", "s3://my-bucket/penguins"
        return
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", storage):
        yield "storage", "only a folder or s3:// can be asked for here (others: edit .dvc/config later)", example
        return
    wrong = sorted({c for c in storage if not c.isprintable() or c in "\"'`%#$\\~*?;,<>|{}"})
    if wrong:
        yield "storage", f"a folder in .dvc/config cannot hold {' '.join(map(ascii, wrong))}", example
    elif storage.strip() != storage or not storage:
        yield "storage", "it is empty, or begins or ends with a space", example
    elif len(storage) > 200:
        yield "storage", f"it has {len(storage)} characters, more than 200", example
    elif not storage.startswith(("/", "../")) or re.fullmatch(r"(/|\.\./?)+", storage):
        yield "storage", "it must lie outside the project, so that deleting one keeps the other", example


def faults(answers):
    """Yield (question, reason, a value that would work) for everything that is wrong."""
    for key, choices in CHOICES.items():
        if answers[key] not in choices:
            yield key, f"{answers[key]!r} is none of {', '.join(choices)}", choices[0]
    for key, longest in TEXTS.items():
        yield from text_faults(key, answers[key], longest)
    yield from slug_faults(answers["project_slug"])
    yield from author_faults(answers["author"])
    yield from storage_faults(answers["storage"], answers["project_slug"])
    if answers["__package_name"] != answers["project_slug"].replace("-", "_"):
        yield "__package_name", "it is derived, not asked for", answers["project_slug"].replace("-", "_")


def main():
    found = list(faults(ANSWERS))
    if not found:
        return
    # A terminal may not know every letter of an answer; what cannot be shown must not hide the report.
    sys.stderr.reconfigure(errors="backslashreplace")
    print(f"\nNothing was generated: {len(found)} answers cannot be used.\n", file=sys.stderr)
    for key, reason, better in found:
        print(f"  {key}: {reason}\n      this would work: {better}", file=sys.stderr)
    print(file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
