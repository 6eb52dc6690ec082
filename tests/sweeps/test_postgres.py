"""A sweep on PostgreSQL: a server of our own on the loopback, and workers in processes that share it."""

import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from puffer_phc.config import Config, SweepConfig
from puffer_phc.errors import InputError
from puffer_phc.sweeps.spaces import Space
from puffer_phc.sweeps.study import open_study

SPACES = [
    Space("train.epochs", "linear", 1, 6, 3, scale=3, integer=True),
    Space("train.minibatches", "linear", 1, 6, 3, scale=3, integer=True),
]
CFG = Config(sweep=SweepConfig(start_from_default=False, confirm=0))


def binary(name):
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    return found or pytest.skip(f"no {name} on this machine")


@pytest.fixture(scope="module")
def url():
    """An empty database of a server that only this machine reaches; it refuses to run as root."""
    pytest.importorskip("psycopg")
    initdb, postgres = binary("initdb"), binary("postgres")
    user = "nobody" if os.getuid() == 0 else None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are closed to other users
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    command = [initdb, "-D", folder / "data", "-U", "sweeper", "--auth=trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(command, user=user, cwd=folder, check=True, capture_output=True)
    options = ["-c", "fsync=off", "-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"]
    with (folder / "log").open("wb") as log:
        command = [postgres, "-D", folder / "data", "-p", str(port), *options]
        server = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for_server(port)
        yield f"postgresql://sweeper@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown, which waits for no client
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_server(port):
    import psycopg

    for attempt in range(200):
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="sweeper", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if attempt == 199:
                raise
            time.sleep(0.05)


def work(url, barrier, rounds):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = open_study(replace(CFG, sweep=replace(CFG.sweep, storage=url)), SPACES, Path("shared"))
    for _ in range(rounds):
        barrier.wait()
        study.ask({space.name: space.to_distribution() for space in SPACES})


def test_workers_that_ask_at_once_never_get_the_same_point(url):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cfg = replace(CFG, sweep=replace(CFG.sweep, storage=url))
    study = open_study(cfg, SPACES, Path("shared"))
    workers, rounds = 2, 3
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(workers, timeout=30)
    processes = [context.Process(target=work, args=(url, barrier, rounds)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * workers
    points = [tuple(trial.params.values()) for trial in study.trials]
    assert len(points) == workers * rounds
    assert len(set(points)) == len(points)


def test_a_sweep_that_searches_something_else_is_refused(url):
    cfg = replace(CFG, sweep=replace(CFG.sweep, storage=url, metric="episode/return"))
    open_study(replace(CFG, sweep=replace(CFG.sweep, storage=url)), SPACES, Path("other"))
    with pytest.raises(InputError, match=r"eval/mpjpe_all.*episode/return"):
        open_study(cfg, SPACES, Path("other"))


def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path):
    cfg = replace(CFG, sweep=replace(CFG.sweep, storage="postgresql://sweeper@127.0.0.1:1/postgres"))
    with pytest.raises(InputError, match=r"--sweep\.storage.*(refused|failed)") as error:
        open_study(cfg, SPACES, tmp_path)
    assert "\n" not in str(error.value)
