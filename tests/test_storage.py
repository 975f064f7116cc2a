"""Storage on S3, with real servers: every promise holds there, and every fault is a sentence."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import servers
from conftest import TEMPLATE, TOOL, Team, cached, copy
from ruamel.yaml import YAML
from test_readme import commands

PREFIX = "models/team one"


@pytest.fixture
def bucket(tmp_path):
    """Return a folder with the bucket `models`, served by rclone."""
    folder = tmp_path / "s3"
    (folder / "models").mkdir(parents=True)
    server = servers.rclone(folder)
    server.bucket = folder / "models"
    server.client = servers.client(server)
    yield server
    server.kill()


class OnS3(Team):
    """The project with a history, its storage moved to a bucket."""

    server = None

    def use(self, server, **options):
        self.server = server
        self._run = with_variables(self._run, servers.variables(server, **options))

    @property
    def objects_there(self):
        listed = self.server.client.list_objects_v2(Bucket="models").get("Contents", [])
        return {"".join(entry["Key"].split("/")[-2:]) for entry in listed}


def with_variables(run, values):
    return lambda *command, **options: run(*command, **{**values, **options})


@pytest.fixture
def on_s3(team_once, run, environment, tmp_path, bucket):
    """Return the project with a history whose objects lie in a bucket; its first storage is gone."""
    copy(team_once.folder, tmp_path / "a team")
    team = OnS3(tmp_path / "a team", run, environment)
    team.git("remote", "set-url", "origin", team.origin)
    shutil.move(team.storage / "files", bucket.bucket / "team one" / "files")
    servers.remove(team.storage)
    team.use(bucket)
    team.dvc("remote", "modify", "storage", "url", f"s3://{PREFIX}")
    team.git("commit", "--quiet", "--all", "--message", "Store in the bucket")
    team.git("push", "--quiet", "origin", "main")
    return team


def test_a_bucket_is_an_answer(generate, tmp_path, run):
    config = (generate(tmp_path, storage=f"s3://{PREFIX.replace(' ', '-')}") / ".dvc" / "config").read_text("utf-8")
    assert "url = s3://models/team-one\n" in config
    assert "verify = true" in config
    assert "connect_timeout = 10" in config
    assert not re.search("key|secret|token|password", config)
    other = generate(tmp_path, project_slug="other")
    assert "timeout" not in (other / ".dvc" / "config").read_text("utf-8")
    assert run("dvc", "config", "remote.storage.verify", cwd=other).stdout.strip() == "true"


def test_a_folder_moves_to_a_bucket_by_the_documented_path_and_all_promises_hold_there(team, bucket):
    """docs/storage.md is run; then the folder is gone, and a colleague has nothing but the bucket."""
    team.__class__ = OnS3
    team.use(bucket)
    text = (TEMPLATE / "{{cookiecutter.project_slug}}" / "docs" / "storage.md").read_text(encoding="utf-8")
    part = text.partition("## From a folder to a bucket")[2].partition("\n## ")[0]
    lines = commands(part)
    assert len(lines) == 10
    servers.remove(team.project / ".dvc" / "cache")
    team.git("branch", "--quiet", "--set-upstream-to", "origin/main", "main")
    for line in lines[:9]:
        if line == "uv add dvc-s3":
            continue  # the tests share one environment
        command = line.replace("s3://bucket/prefix", f"'s3://{PREFIX}'").removeprefix("uv run ")
        done = team._run("sh", "-ec", command, cwd=team.project)
    servers.remove(team.storage)

    clone = team.clone()
    assert "v1.0.0: sound\nv1.1.0: sound" in team.model("verify", "--all", "--remote", cwd=clone).stdout
    assert not list((clone / ".dvc" / "cache").rglob("*.dir")), "a drill leaves nothing behind"
    assert not list((clone / ".dvc" / "tmp").glob("drill*"))
    done = team.model("rollback", "--reason", "a colleague says so", cwd=clone)
    assert "prod: v1.0.0 is live, was v1.1.0" in done.stdout
    assert "v1.0.0: identical" in team.model("reproduce", "v1.0.0", cwd=clone).stdout
    team.dvc("pull", cwd=clone)
    team.change(cwd=clone)
    released = team.model("release", cwd=clone)
    assert "v1.2.0" in released.stdout
    assert set(team.objects_of("v1.2.0", clone)) <= team.objects_there
    team.git("fetch", "--tags", "--quiet", "origin")
    team.model("promote", "v1.2.0", "--to", "prod")
    assert "v1.2.0: sound" in team.model("verify", "v1.2.0", "--remote").stdout
    no_secret_anywhere(team, clone)


def objects_of(self, version, where):
    """Return the folders that a version's lock file names as outputs."""
    lock = YAML(typ="safe").load(self.git("show", f"penguins@{version}:dvc.lock", cwd=where))
    outs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    return {out["md5"] for out in outs if out["md5"].endswith(".dir")}


OnS3.objects_of = objects_of


def no_secret_anywhere(team, *clones):
    """Look for the key in everything that git knows, in every clone: files, tags, messages, whatever is tracked."""
    for place in (team.project, team.origin, *clones):
        listed = team.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", cwd=place)
        done = subprocess.run(
            ["git", "cat-file", "--batch"], cwd=place, input=listed.encode(), capture_output=True, check=True
        )
        assert b"penguins" in done.stdout
        assert servers.SECRET.encode() not in done.stdout


def test_a_key_of_one_clone_is_in_no_tracked_file(on_s3):
    team = on_s3
    team._run = with_variables(team._run, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert "there is no key for the storage" in team.model("verify", fails=True).output
    for name, value in (("access_key_id", servers.KEY), ("secret_access_key", servers.SECRET)):
        team.dvc("remote", "modify", "--local", "storage", name, value)
    team.document()
    team.model("release")
    team.model("promote", "latest", "--to", "staging")
    team.model("card", "latest")
    team.dvc("config", "--local", "remote.storage.url", f"s3://{PREFIX}")  # v1.0.0 was stored in a folder
    team.model("checkout", "v1.0.0")
    assert "up to date" in team.dvc("status")
    team.dvc("pull")
    team.model("checkout", "-")
    assert "config.local" not in team.git("ls-files", ".dvc")
    no_secret_anywhere(team)
    for path in (team.project / ".releases").rglob("*"):
        assert not path.is_file() or servers.SECRET.encode() not in path.read_bytes(), path


def test_a_profile_gives_the_key(on_s3, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[team]\naws_access_key_id = {servers.KEY}\naws_secret_{'access_key'} = {servers.SECRET}\n", encoding="utf-8"
    )
    on_s3.dvc("remote", "modify", "--local", "storage", "profile", "team")
    plain = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    assert "v1.1.0: sound" in on_s3.model("verify", **plain).stdout


#: A clock that is an hour wrong for whoever signs requests; nothing else can be set back without being root.
SKEWED = """
import datetime
import botocore.auth, botocore.compat

def an_hour_ago(remove_tzinfo=True):
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    return now.replace(tzinfo=None) if remove_tzinfo else now

botocore.compat.get_current_datetime = botocore.auth.get_current_datetime = an_hour_ago
"""

FAULTS = {
    "wrong secret": ({"AWS_SECRET_ACCESS_KEY": "no"}, None, "the secret key does not belong to the access key"),
    "wrong key": ({"AWS_ACCESS_KEY_ID": "no"}, None, "the storage does not know this access key"),
    "no key": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, None, "there is no key for the storage"),
    "no such profile": ({"AWS_PROFILE": "nope"}, None, "the profile is in no file of ~/.aws"),
    "missing bucket": ({}, "s3://modles/team one", "there is no such bucket"),
    "unreachable": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, None, "the storage does not answer"),
    "clock skew": ({"PYTHONPATH": "SKEWED"}, None, "this machine's clock is wrong"),
}


@pytest.fixture
def skewed(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SKEWED, encoding="utf-8")
    return tmp_path / "site"


def test_without_the_package_for_buckets_each_command_says_what_to_install(on_s3, tmp_path):
    team = on_s3
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['dvc_s3'] = None\n", encoding="utf-8")
    path = f"{tmp_path}{os.pathsep}{team.project / TOOL}"
    for command in (["status"], ["verify", "--all"], ["verify", "--remote"], ["push", "--all"], ["prune"]):
        said = team.model(*command, fails=None, PYTHONPATH=path).output
        assert "the package for this storage is not installed: dvc-s3" in said, command
        assert "uv add dvc-s3" in said
        assert "Traceback" not in said


def test_every_fault_is_a_sentence_and_the_same_command_again_finishes(on_s3, skewed, bucket):
    team = on_s3
    team.change()
    tags, stored = team.tags(), team.objects_there
    for name, (variables, url, said) in FAULTS.items():
        values = dict(variables)
        if "PYTHONPATH" in values:
            values["PYTHONPATH"] = f"{skewed}{os.pathsep}{team.project / TOOL}"
        if url:
            team.dvc("remote", "modify", "storage", "url", url)
            team.git("commit", "--quiet", "--all", "--message", "Another bucket")
        refused = team.model("release", fails=True, **values)
        assert refused.returncode == 1, name
        assert said in refused.stderr, f"{name}: {refused.stderr}"
        assert "  why: " in refused.stderr
        assert "  fix: " in refused.stderr
        assert not re.search("Traceback|HeadObject|ClientError", refused.output), name
        assert team.tags() == tags, name
        assert team.tags() == team.git(
            "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags", cwd=team.origin
        )
        assert team.objects_there == stored
        assert not (bucket.bucket.parent / "modles").exists(), "a push makes no bucket"
        if url:
            team.git("reset", "--quiet", "--hard", "HEAD~1")
    assert "v1.2.0" in team.model("release").stdout
    assert "v1.2.0: sound" in team.model("verify", "latest", "--remote").stdout


def test_a_server_that_dies_in_the_middle_of_a_release_costs_nothing(on_s3, bucket):
    """A large object goes out in parts; the server dies while it does, and comes back."""
    team = on_s3
    large = team.project / "data" / "large.bin"
    with large.open("wb") as file:
        for _ in range(15):
            file.write(os.urandom(10_000_000))
    team.dvc("add", "data/large.bin")
    team.change()
    team.git("add", "--all")
    team.git("commit", "--quiet", "--amend", "--no-edit")
    before, tags = team.objects_there, team.tags()
    oid = re.search(r"md5: (\w{32})", (team.project / "data" / "large.bin.dvc").read_text(encoding="utf-8"))[1]

    dies = threading.Thread(target=lambda: (wait_for(lambda: team.objects_there - before), bucket.kill()))
    dies.start()
    refused = team.model("release", fails=True)
    dies.join()
    assert re.search("could not be (sent to|looked up in)", refused.stderr), refused.stderr
    assert "the storage does not answer" in refused.stderr
    assert team.tags() == tags
    bucket.start()
    assert oid not in team.objects_there, "it was not sent as a whole"
    released = team.model("release")
    sent = int(re.search(r"(\d+) of them sent now", released.stdout)[1])
    assert sent >= 1
    assert "v1.2.0: sound" in team.model("verify", "v1.2.0", "--remote").stdout
    clone = team.clone()
    team.dvc("pull", "data/large.bin.dvc", cwd=clone)
    assert (clone / "data" / "large.bin").read_bytes() == large.read_bytes()


def wait_for(condition, seconds=60):
    """Ask until a condition holds."""
    moment = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        moment.wait(0.005)
    raise AssertionError("it never came true")


def test_a_drill_finds_what_only_the_remote_has_lost(on_s3, bucket):
    """The cache has everything, so only a restore shows it."""
    team = on_s3
    model = re.search(r"path: model\n +hash: md5\n +md5: (\w+)\.dir", team.git("show", "penguins@v1.0.0:dvc.lock"))[1]
    listed = json.loads(cached(team.project, f"{model}.dir").read_text(encoding="utf-8"))
    skops = next(entry["md5"] for entry in listed if entry["relpath"] == "model.skops")
    there = {"Bucket": "models", "Key": f"team one/files/md5/{skops[:2]}/{skops[2:]}"}
    whole = bucket.client.get_object(**there)["Body"].read()
    bucket.client.put_object(**there, Body=whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "v1.0.0: sound" in team.model("verify", "v1.0.0").stdout, "same size, and the cache is right"
    found = team.model("verify", "--all", "--remote", fails=True).stdout
    assert "v1.0.0: 1 fault" in found
    assert "the remote holds other bytes" in found
    assert "v1.1.0: sound" in found
    bucket.client.delete_object(**there)
    assert "an object is missing" in team.model("verify", "--all", "--remote", fails=True).stdout
    assert "1 of them sent now" in team.model("push", "v1.0.0").stdout
    assert "v1.0.0: sound" in team.model("verify", "--all", "--remote").stdout
    results = json.loads(team.model("verify", "--sample", "1", "--remote", "--json").stdout)
    assert [result["version"] for result in results] == ["v1.1.0"], "what is live comes first"


def test_many_objects_are_looked_up_with_one_listing(on_s3):
    """From a number on, the bucket is listed instead of asked for each; both ways agree."""
    team = on_s3
    ask = (
        "import sys; from pathlib import Path; from modelbook.store import dvc_repo;"
        "dvc_repo.LIST_FROM = int(sys.argv[1]); store = dvc_repo.Store(Path.cwd());"
        "names = sorted(store.objects(store.outs('HEAD'))); print(len(names), store.lacking([*names, '0' * 32]))"
    )
    one, many = (team._run("python", "-c", ask, n, cwd=team.project).stdout for n in ("1000000", "1"))
    assert one == many
    assert f"['{'0' * 32}']" in one


@pytest.fixture
def versioned(tmp_path):
    """Return a server with a read-only key whose bucket keeps old versions of objects."""
    server = servers.weed(tmp_path / "weed")
    server.client = servers.client(server)
    wait_for(lambda: can_make_bucket(server.client))
    server.client.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    yield server
    server.kill()


def can_make_bucket(client):
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.create_bucket(Bucket="models")
    except (BotoCoreError, ClientError):
        return False
    return True


def test_a_read_only_key_restores_and_cannot_release_and_old_objects_outlive_a_prune(team, versioned):
    team.__class__ = OnS3
    team.use(versioned)
    team.dvc("remote", "modify", "storage", "url", f"s3://{PREFIX}")
    team.git("commit", "--quiet", "--all", "--message", "Store in the bucket")
    team.git("push", "--quiet", "origin", "main")
    team.model("push", "--all")
    reader = servers.variables(versioned, servers.READER, servers.READER_SECRET)

    clone = team.clone()
    assert "v1.0.0: sound" in team.model("verify", "--all", "--remote", cwd=clone, **reader).stdout
    assert "v1.1.0 is live" in team.model("promote", "v1.1.0", "--to", "staging", cwd=clone, **reader).stdout
    team.change()
    refused = team.model("release", fails=True, **reader).stderr
    assert "could not be sent to the remote s3://models/team one" in refused
    assert "wrong key or no permission" in refused
    assert "v1.2.0" not in team.tags()
    assert "v1.2.0" in team.model("release").stdout

    from test_prune import keep_only

    keep_only(team)
    team.git("fetch", "--tags", "--quiet", "origin")
    refused = team.model("prune", "--yes", fails=True, **reader).stderr
    assert "could not be deleted in the remote" in refused
    plan = json.loads(team.model("prune", "--yes", "--json").stdout)
    listed = versioned.client.list_object_versions(Bucket="models")
    gone = {"".join(entry["Key"].split("/")[-2:]) for entry in listed["DeleteMarkers"]}
    assert gone == set(plan["objects"])
    kept = {"".join(entry["Key"].split("/")[-2:]) for entry in listed["Versions"]}
    assert gone <= kept, "old versions are still there: the bucket's lifecycle decides how long"


#: Two people of one group; no such accounts need to exist.
USERS, GROUP = (20001, 20002), 20000


#: The interpreter may lie in somebody's home, which others may not enter: let them see it alone, in this namespace.
TOOLS_FOR_ALL = """
umask 022
here=$1; shift
if [ "$1" != -- ]; then
    mkdir -p "$here/tools"
    mount --bind "$1" "$here/tools"
    mount -t tmpfs -o mode=755 tmpfs "$2"
    mkdir -p "$1"
    mount --bind "$here/tools" "$1"
    shift 2
fi
shift
umask 002
exec "$@"
"""


def closed():
    """Return the interpreter's folder and the folder above it that others may not enter, if there is one."""
    tools = Path(sys.base_prefix)
    shut = [folder for folder in tools.parents if not folder.stat().st_mode & 0o001]
    return [tools, shut[-1]] if shut else []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start commands as two other users")
def test_two_users_share_one_cache(team, tmp_path, run, cold):
    """docs/storage.md: one folder of a group with its mode, two settings in each clone."""
    shared, remote = tmp_path / "shared", team.storage
    text = (TEMPLATE / "{{cookiecutter.project_slug}}" / "docs" / "storage.md").read_text(encoding="utf-8")
    part = commands(text.partition("## One cache for all users")[2])
    assert part[1] == "install --directory --group team --mode 2775 /srv/dvc-cache"
    shared.mkdir()
    for folder in (shared, remote, *remote.rglob("*"), team.origin, *team.origin.rglob("*"), team.folder):
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2775 if folder.is_dir() else 0o664)
    for folder in [tmp_path, *tmp_path.parents]:
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o111)
    clones = []
    for user in USERS:
        home = tmp_path / f"home{user}"
        home.mkdir()
        os.chown(home, user, user)
        (home / ".gitconfig").write_text(
            f"[safe]\n\tdirectory = *\n[user]\n\tname = U{user}\n\temail = u{user}@example.com\n", encoding="utf-8"
        )

        def as_user(*command, cwd=home, user=user, home=home, **options):
            become = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={GROUP}"]
            words = ["unshare", "--mount", "sh", "-ec", TOOLS_FOR_ALL, "sh", tmp_path, *closed(), "--"]
            values = {
                "PATH": cold["PATH"],
                "HOME": str(home),
                "USER": f"u{user}",
                "DVC_SITE_CACHE_DIR": str(home / "dvc"),
                "MPLCONFIGDIR": str(home),
            }
            return run(*words, *become, *command, cwd=cwd, **{**values, **options})

        clone = home / "penguins"
        as_user("git", "clone", "--quiet", team.origin, clone)
        for line in part[2:]:
            command = line.replace("/srv/dvc-cache", str(shared)).removeprefix("uv run ")
            as_user("sh", "-c", command, cwd=clone)
        as_user("dvc", "config", "--local", "remote.storage.url", str(remote), cwd=clone)
        clones.append((clone, as_user))

    (first, one), (second, two) = clones
    one("dvc", "pull", cwd=first)
    mine = {path for path in shared.rglob("*") if path.is_file()}
    assert mine
    done = two("dvc", "pull", cwd=second)
    assert {path for path in shared.rglob("*") if path.is_file()} == mine, "nothing was fetched twice"
    assert not (second / ".dvc" / "cache" / "files").exists()
    # Each adds to the other's folders, by training, by fetching old versions and by releasing.
    path = second / "conf" / "compute" / "default.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("seed: 42", "seed: 7"), encoding="utf-8")
    two("dvc", "repro", "--quiet", cwd=second)
    two("git", "commit", "--quiet", "--all", "--message", "Seed 7", cwd=second)
    assert "v1.2.0" in two("model", "release", cwd=second).stdout
    done = one("model", "promote", "v1.0.0", "--to", "staging", cwd=first)
    assert "v1.0.0 is live" in done.stdout
    assert "v1.2.0 is live" in one("model", "promote", "v1.2.0", "--to", "prod", cwd=first).stdout
    assert "v1.1.0 is live" in two("model", "rollback", "--reason", "both may", cwd=second).stdout
    assert "is not this clone's alone" in two("model", "prune", cwd=second).stdout
    for path in shared.rglob("*"):
        mode = path.stat()
        assert mode.st_gid == GROUP, path
        assert mode.st_mode & (0o070 if path.is_dir() else 0o040) == (0o070 if path.is_dir() else 0o040), path
