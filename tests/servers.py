"""Real servers that tests start on loopback, with their data in a temporary folder."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

BIN = Path(sys.executable).parent
#: Longest that a server may take to answer for the first time.
START_SECONDS = 30
#: Made up here; they open nothing but these servers.
KEY, SECRET = "writer", "writers-secret"
READER, READER_SECRET = "reader", "readers-secret"


def free_port(also=0):
    """Return a port that nobody listens at, and neither at the one that is higher by `also`."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                if port + also < 65536:
                    second.bind(("127.0.0.1", port + also if also else 0))
                    return port
            except OSError:
                continue
    raise AssertionError("there is no free port")


class Server:
    """A server process that can be killed and started again with the same data."""

    def __init__(self, folder, command, url):
        self.folder, self.command, self.url = folder, command, url
        self.process = None
        self.start()

    def start(self):
        program = self.command[0]
        assert Path(program).exists(), f"{program} is not installed: make setup (or: rm .venv/ready; make setup)"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, f"{program} does not answer"
            time.sleep(0.02)  # asked again, until the deadline

    def answers(self):
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except urllib.error.HTTPError:
            return True  # it refuses, so it is there
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def rclone(folder):
    """Start an S3 server whose buckets are the folders in `folder`."""
    state = folder.with_name(f"{folder.name}-server")
    state.mkdir()
    port = free_port()
    options = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", "--config", os.devnull]
    options += ["--vfs-cache-mode", "writes", "--cache-dir", str(state / "cache")]
    return Server(state, [str(BIN / "rclone"), "serve", "s3", *options, str(folder)], f"http://127.0.0.1:{port}")


def weed(folder):
    """Start an S3 server that knows read-only keys and versions of objects."""
    folder.mkdir()
    keys = [
        {"name": "writer", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]},
        {
            "name": "reader",
            "credentials": [{"accessKey": READER, "secretKey": READER_SECRET}],
            "actions": ["Read", "List"],
        },
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": keys}), encoding="utf-8")
    (folder / "data").mkdir()
    names = ("master", "volume", "filer", "s3", "admin")
    ports = {name: free_port(also=10000) for name in names}  # each also opens the port + 10000
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += [f"-s3.port.{name}={free_port()}" for name in ("iceberg", "lance")]
    command = [str(BIN / "weed"), "-logtostderr", "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-master.telemetry=false", f"-s3.config={folder / 's3.json'}"]
    command += ["-webdav=false", "-admin.ui=false", *options]
    return Server(folder, command, f"http://127.0.0.1:{ports['s3']}")


def client(server):
    """Return a client of a server, to look at what it stores and to change it."""
    import botocore.session

    session = botocore.session.get_session()
    session.set_credentials(KEY, SECRET)
    return session.create_client("s3", endpoint_url=server.url, region_name="us-east-1")


def variables(server, key=KEY, secret=SECRET):
    """Return what a user sets to reach a server."""
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2",
    }


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
