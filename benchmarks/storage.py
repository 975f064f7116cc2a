"""A bucket, a restore drill and a prune, with 200 versions, beside what DVC does with them."""

import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from measure import BIN, model, run, seconds, title

VERSIONS = 200
#: Of the model that each version has for itself.
MODEL_BYTES = 100_000
KEY, SECRET = "bench", "bench-secret"


class Bucket:
    """An S3 server on loopback, with a bucket `models`."""

    def __init__(self, folder: Path) -> None:
        (folder / "data" / "models").mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        command = [str(BIN / "rclone"), "serve", "s3", "--addr", self.url.removeprefix("http://")]
        command += ["--auth-key", f"{KEY},{SECRET}", "--config", os.devnull, "--vfs-cache-mode", "writes"]
        self.process = subprocess.Popen([*command, "--cache-dir", str(folder / "cache"), str(folder / "data")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        while self.process.poll() is None and not self.answers():
            pass

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def many_versions(project: Path) -> None:
    """Give a project with one version many more, each with a model of its own, without training."""
    first = "penguins@v1.0.0"
    lock = run("git", "show", f"{first}:dvc.lock", cwd=project)
    block = lock[lock.index("path: model\n") :]
    old = next(line.split()[-1] for line in block.splitlines() if line.strip().startswith("md5: "))
    text = run("git", "tag", "--list", "--format=%(contents)", first, cwd=project)
    cache = project / ".dvc" / "cache" / "files" / "md5"
    for n in range(1, VERSIONS + 1):
        content = os.urandom(MODEL_BYTES)
        name = hashlib.md5(content).hexdigest()
        listing = json.dumps([{"md5": name, "relpath": "model.skops"}]).encode()
        folder = hashlib.md5(listing).hexdigest() + ".dir"
        for oid, data in ((name, content), (folder, listing)):
            (cache / oid[:2]).mkdir(parents=True, exist_ok=True)
            (cache / oid[:2] / oid[2:]).write_bytes(data)
        (project / "dvc.lock").write_text(lock.replace(old, folder), encoding="utf-8")
        run("git", "commit", "--quiet", "--all", "--message", f"Version {n}", cwd=project)
        run("git", "tag", "--annotate", "--message", text, f"penguins@v2.{n}.0", cwd=project)
    run("git", "reset", "--quiet", "--hard", first, cwd=project)


def measure(project: Path, folder: Path, repeats: int) -> None:
    """Measure all of it, in a copy of a project with one version."""
    title(f"{VERSIONS} versions of {MODEL_BYTES / 1e3:.0f} kB each in a bucket")
    folder.mkdir()
    copy = folder / "penguins"
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns(".releases"))
    run("git", "worktree", "prune", cwd=copy)
    rules = copy / "conf" / "retention" / "default.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("days: 90", "days: 0"), encoding="utf-8")
    run("dvc", "repro", cwd=copy)
    # Not as settings of the clone: `dvc gc` refuses them at commits from when the storage was a folder.
    os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_" + "ACCESS_KEY": SECRET}
    bucket = Bucket(folder)
    try:
        for setting in (("url", "s3://models/penguins"), ("endpointurl", bucket.url)):
            run("dvc", "remote", "modify", "storage", *setting, cwd=copy)
        run("git", "commit", "--quiet", "--all", "--message", "Store in a bucket", cwd=copy)
        kept = run("git", "rev-parse", "HEAD", cwd=copy).strip()
        many_versions(copy)
        run("git", "reset", "--quiet", "--hard", kept, cwd=copy)
        compare(copy, repeats)
    finally:
        bucket.process.terminate()
        bucket.process.wait()


def compare(project: Path, repeats: int) -> None:
    cache = project / ".dvc" / "cache"
    print(f"model push --all (all lacks)      {seconds(lambda: model('push', '--all', cwd=project)):7.2f} s")
    times: dict[str, list[float]] = {"push": [], "dvc push": [], "drill": [], "dvc fetch": [], "prune": [], "gc": []}
    gc = ("gc", "--dry", "--workspace", "--all-tags", "--cloud", "--force")
    for _ in range(max(3, repeats // 2)):
        times["push"].append(seconds(lambda: model("push", "--all", cwd=project)))
        times["dvc push"].append(seconds(lambda: run("dvc", "push", "--all-tags", cwd=project)))
        times["prune"].append(seconds(lambda: model("prune", cwd=project)))
        times["gc"].append(seconds(lambda: run("dvc", *gc, cwd=project)))
        away = cache.rename(cache.with_name("away"))
        times["dvc fetch"].append(seconds(lambda: run("dvc", "fetch", cwd=project)))
        shutil.rmtree(cache)
        away.rename(cache)
        times["drill"].append(seconds(lambda: model("verify", "v1.0.0", "--remote", cwd=project)))
    middle = {name: statistics.median(values) for name, values in times.items()}
    pairs = (
        ("model push --all (nothing lacks)", "push", "dvc push --all-tags", "dvc push"),
        ("model prune (shows)", "prune", "dvc gc --dry -w -T -c", "gc"),
    )
    for ours, name, theirs, other in pairs:
        ratio = middle[name] / middle[other]
        print(f"{ours:<33} {middle[name]:7.2f} s   {theirs} {middle[other]:.2f} s   ratio {ratio:.2f}", flush=True)
    print(f"restore drill of one version      {middle['drill']:7.2f} s   dvc fetch of one {middle['dvc fetch']:.2f} s")
    done = seconds(lambda: print(model("prune", "--yes", cwd=project).rpartition("\nv2.200.0")[2].partition("\n")[2]))
    print(f"model prune --yes                 {done:7.2f} s")
