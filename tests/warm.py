"""Python programs that start warm: forked from a process that has imported what they need.

A test that walks a life of versions starts a hundred Pythons, and two thirds of
its time are imports of DVC, pandas and scikit-learn. Here a folder of programs
stands in front of the real ones on `PATH`. Each sends its arguments, folder,
variables and open files to one process of the test run, which forks: the child
has every library of the environment loaded, none of the tool or of a project,
and goes on as `python` would. It is a process of its own, with its own exit
status, and it dies with the program that a test started.

What the difference could touch starts as ever: anything under another variable of
Python's own, another language or another user, at a terminal, with options of
Python, and pytest. `COLD=1 make test` starts all of it as ever.
"""

import _imp
import atexit
import contextlib
import gc
import hashlib
import importlib.util
import json
import marshal
import os
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from importlib.machinery import SourceFileLoader
from pathlib import Path

#: What commands and stages import, as far as it is none of ours.
LIBRARIES = """
cookiecutter.cli cookiecutter.main jinja2.ext dvc.cli.parser dvc.api dvc.repo dvc.analytics dvc.repo.reproduce
dvc.repo.experiments.executor.local dvc.data_cloud dvc.repo.experiments.queue.celery dvc.cachemgr
dvc_data.index.checkout dvc_render dvc_s3 s3fs networkx pygit2 dulwich.ignore typer rich.console rich.table
rich.progress pydantic.type_adapter ruamel.yaml filelock packaging.requirements yaml tomllib numpy pandas
pyarrow.parquet pyarrow.csv pyarrow.dataset pandera.pandas pandera.backends.pandas.register omegaconf hydra
skops.io threadpoolctl wrapt matplotlib.figure matplotlib.backends.backend_agg matplotlib.font_manager
sklearn.ensemble sklearn.linear_model sklearn.compose sklearn.pipeline sklearn.impute sklearn.metrics
sklearn.model_selection
""".split()

#: Of Python's own variables, those that a warm start heeds.
VARIABLES = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")

SHIM = """#!{python} -IS
import os, sys

folder, name, real = {folder!r}, {name!r}, {real!r}
given = dict(os.environ)
if name == "python":
    first = sys.argv[1:2] or ["-"]
    is_plain = (first[0] in ("-m", "-c") or not first[0].startswith("-")) and sys.argv[2:3] != ["pytest"]
else:
    is_plain = True
is_warm = (
    is_plain
    and not [key for key in given if key.startswith("PYTHON") and key not in {variables!r}]
    and {languages!r} == [given.get(key) for key in ("LANG", "LC_ALL", "LC_CTYPE")]
    and os.geteuid() == {user}
    and not any(os.isatty(number) for number in (0, 1, 2))
)
if is_warm:
    import array, json, signal, _socket

    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        server.connect(folder + "/warm")
    except OSError:
        is_warm = False
if not is_warm:
    os.execv(real, [real, *sys.argv[1:]])
mask = os.umask(0)
os.umask(mask)
words = [name if name == "python" else real, *sys.argv[1:]]
text = json.dumps([words, os.getcwd(), given, mask]).encode()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: server.send(bytes([number])))
server.sendmsg([len(text).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
server.sendall(text)
answer = server.recv(4)
if len(answer) < 4:
    sys.exit("the process that starts programs is gone")
status = os.waitstatus_to_exitcode(int.from_bytes(answer, "big"))
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def install(folder, programs, variables):
    """Write the programs that ask for a warm start into a folder."""
    for name in ("python", "model", "dvc", "cookiecutter"):
        real = programs / name
        text = SHIM.format(
            python=programs / "python",
            folder=str(folder),
            name=name,
            real=str(real),
            user=os.geteuid(),
            variables=VARIABLES,
            languages=[variables.get(key) for key in ("LANG", "LC_ALL", "LC_CTYPE")],
        )
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)


@contextlib.contextmanager
def programs(folder, real, variables):
    """Give, while the context lasts, a folder of programs that start warm.

    Parameters
    ----------
    folder : Path
        Is made.
    real : Path
        Where the programs are that start cold.
    variables : dict of str to str
        Those of the commands to come; what Python reads at its start must be the same.
    """
    folder.mkdir()
    install(folder, real, variables)
    code = "import sys; sys.path.insert(0, sys.argv[2]); import warm; warm.serve(sys.argv[1])"
    command = [real / "python", "-c", code, folder, Path(__file__).parent]
    # Pipes, as those of the programs that a test runs: Python asks once whether a stream can seek.
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=variables, cwd=folder)
    try:
        yield folder
    finally:
        said = server.communicate()
        assert said == (b"", b""), said


def serve(folder):
    """Fork for each program that asks, until standard input ends: with the test run, however that ends."""
    _import_libraries()
    path = [entry for entry in sys.path if entry and Path(entry) != Path(__file__).parent]
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{folder}/warm")
    listening.listen(64)
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    chosen = selectors.DefaultSelector()
    for source in (listening, woken, sys.stdin.fileno()):
        chosen.register(source, selectors.EVENT_READ)
    children = {}
    while True:
        for key, _ in chosen.select():
            source = key.fileobj
            if source == 0:
                os._exit(0)
            elif source is woken:
                woken.recv(4096)
            elif source is listening:
                connection, _ = listening.accept()
                request = _receive(connection)
                if request is None:
                    connection.close()
                    continue
                child = os.fork()
                if child == 0:
                    for one in (listening, woken, wake, connection, *children.values()):
                        one.close()
                    chosen.close()
                    function = _become(path, *request)
                    try:
                        function()
                    finally:
                        _end(sys.exc_info()[1])
                for number in request[1]:
                    os.close(number)
                children[child] = connection
                chosen.register(connection, selectors.EVENT_READ, child)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(key.data, (source.recv(1) or bytes([signal.SIGKILL]))[0])
        _bury(children, chosen)


def _import_libraries():
    """Import what most programs import, and skops without what the tool imports it without, too."""
    utils = importlib.import_module("sklearn.utils")
    every, utils.all_estimators = utils.all_estimators, list
    for name in LIBRARIES:
        importlib.import_module(name)
    utils.all_estimators = every
    gc.collect()
    gc.freeze()


def _receive(connection):
    """Return what to run and the open files that come with it, or None from a program that is gone."""
    with contextlib.suppress(OSError):
        size, files, *_ = socket.recv_fds(connection, 4, 3)
        if len(size) == 4:
            text = connection.recv(struct.unpack(">I", size)[0], socket.MSG_WAITALL)
            return json.loads(text), files
    return None


def _bury(children, chosen):
    """Tell the programs whose children have ended how they did."""
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        connection = children.pop(child)
        chosen.unregister(connection)
        with contextlib.suppress(OSError):
            connection.sendall(struct.pack(">I", status))
        connection.close()


def _become(path, request, files):
    """Make of this process what Python is when it begins with these words; return what it is to run."""
    (program, *words), folder, variables, mask = request
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.umask(mask)
    os.environ.clear()
    os.environ.update(variables)
    sys.dont_write_bytecode = bool(variables.get("PYTHONDONTWRITEBYTECODE"))
    sys.pycache_prefix = variables.get("PYTHONPYCACHEPREFIX") or None
    if sys.dont_write_bytecode:
        _compile_once(Path(sys.argv[1], "compiled"))
    sys.modules["numpy"].random.seed()
    sys.executable = str(Path(sys.argv[1], "python"))
    main = sys.modules["__main__"].__dict__
    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    if program != "python":
        words.insert(0, program)
    sys.orig_argv[:] = [sys.executable, *words]
    option = words.pop(0) if words[0] in ("-m", "-c") else None
    sys.argv[:] = words
    first = {"-m": folder, "-c": ""}.get(option) if option else str(Path(words[0]).resolve().parent)
    sys.path[:] = [first, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep)), *path]
    importlib.invalidate_caches()
    if any(Path(folder, "sitecustomize.py").exists() for folder in sys.path[1:]):
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")
    if option == "-m":
        return lambda: runpy._run_module_as_main(words[0])
    if option == "-c":
        sys.argv[0] = "-c"
        code = compile(words[0], "<string>", "exec")
    else:
        main["__file__"] = words[0]
        code = compile(Path(words[0]).read_bytes(), words[0], "exec")
    return lambda: exec(code, main)


def _compile_once(folder):
    """Where Python may write no bytecode, compile a module of the same content once in the whole test run."""
    compiled = SourceFileLoader.get_code

    def get_code(self, name):
        path = self.get_filename(name)
        if Path(importlib.util.cache_from_source(path)).exists():
            return compiled(self, name)
        content = self.get_data(path)
        place = folder / hashlib.sha256(content).hexdigest()
        if place.exists():
            code = marshal.loads(place.read_bytes())
            _imp._fix_co_filename(code, path)
            return code
        code = self.source_to_code(content, path)
        folder.mkdir(exist_ok=True)
        draft = folder / str(os.getpid())
        draft.write_bytes(marshal.dumps(code))
        draft.rename(place)
        return code

    SourceFileLoader.get_code = get_code


def _end(error):
    """End this process as Python would, but leave the memory to the system: taking it apart would take longest."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)
