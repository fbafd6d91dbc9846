"""Real processes: the command line, kill -9, a fresh process, a server that is told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.conftest import ROOT, copy_home, small_rows, write_project
from tritonclient.grpc import InferenceServerClient as Triton
from tritonclient.grpc import InferInput

from bessemer.cli import main

FULL = "train: {method: full, epochs: 2, batch_size: 4, checkpoint_every: 5, max_length: 12}\n"
KILLS = 2


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bessemer.cli.main", *arguments]


def run(home: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BESSEMER_HOME": str(home)}
    return subprocess.run(
        command(*arguments), env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )


def begun(home: Path, project: Path) -> subprocess.Popen[bytes]:
    """Begin a training as the leader of a process group of its own, on one core."""
    return subprocess.Popen(
        command("train", str(project)),
        env={**os.environ, "BESSEMER_HOME": str(home), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def checkpoints(home: Path) -> list[Path]:
    return list((home / "work").glob("train-*/step-*"))


def train_output(home: Path) -> Path:
    (output,) = (home / "stages" / "train").glob("[!.]*")
    return output


def test_killed_at_random_times_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL to the whole process group, not at step boundaries; then `run` again."""
    project = write_project(tmp_path / "project", FULL)
    draws = random.Random(7)
    straight, home, resumed = tmp_path / "straight", tmp_path / "killed", 0
    uninterrupted = begun(straight, project)
    for _ in range(KILLS):
        process = begun(home, project)
        before = set(checkpoints(home))
        while set(checkpoints(home)) == before and process.poll() is None:
            time.sleep(0.01)
        # Somewhere among the next steps, or in the midst of writing a checkpoint.
        time.sleep(draws.uniform(0, 0.4))
        assert process.poll() is None, "training ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        resumed += bool(checkpoints(home))
    assert resumed == KILLS
    assert begun(home, project).wait() == 0
    assert uninterrupted.wait() == 0
    for name in ("head.safetensors", "encoder.safetensors"):
        one, other = load_file(train_output(straight) / name), load_file(train_output(home) / name)
        assert one.keys() == other.keys()
        assert all(one[key].tobytes() == other[key].tobytes() for key in one), name
    listed = json.loads(run(home, "runs", "list", "--json").stdout)
    assert [r["state"] for r in listed].count("interrupted") == KILLS
    assert not (home / "work").exists() or not list((home / "work").iterdir())
    events = list((home / "tensorboard").rglob("events.out.tfevents.*"))
    assert events


@pytest.mark.timed
def test_a_second_run_reuses_everything_in_two_seconds(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        done = run(home, "run", str(finished / "project"), "--json")
        seconds.append(time.monotonic() - began)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["release"] == "small@1"
    assert set(told) >= {"run", "release", "verdict", "metrics", "seconds"}
    assert set(told["metrics"]["accuracy"]) == {"value", "low", "high", "count"}
    assert set(told["reused"]) >= {"prepare", "train", "export", "evaluate", "release"}
    for stage in ("prepare", "train", "export", "evaluate", "release", "deploy"):
        assert f"{stage}" in done.stderr
        assert "reused" in done.stderr
    assert min(seconds) < 2


def test_the_bundle_answers_the_same_in_a_fresh_process(finished: Path, tmp_path: Path) -> None:
    from bessemer.serve import residents

    (bundle,) = (p for p in (finished / "home/stages/release").iterdir() if p.is_dir())
    texts = [text for text, _ in small_rows()]
    wanted = residents.load(bundle).logits(texts)
    code = (
        "import sys, json; from pathlib import Path; from bessemer.serve import residents\n"
        "texts = json.load(sys.stdin)\n"
        f"sys.stdout.write(residents.load(Path({str(bundle)!r})).logits(texts)[0].tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(texts), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == wanted[0].tobytes().hex()


class Server:
    """`bessemer serve` in a process of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        environment = {**os.environ, "BESSEMER_HOME": str(home)}
        began = time.monotonic()
        self.process = subprocess.Popen(
            command("serve", "--port", "0", "--json", *arguments),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        text = ""
        for line in self.process.stdout:
            text += line
            if line.startswith("}"):
                break
        self.told = json.loads(text)
        self.seconds_to_ready = time.monotonic() - began
        self.url = self.told["url"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def test_a_rolling_restart_fails_no_request(finished: Path, tmp_path: Path) -> None:
    """Two servers behind one port; the first ends while callers with open connections go on."""
    home = copy_home(finished / "home", tmp_path / "home")
    failures: list[str] = []
    answered, ended = Counter(), threading.Event()

    def asks(url: str, key: str, number: int) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
            while not ended.is_set():
                try:
                    answer = client.post(f"{url}/predict/small", json={"inputs": f"text {number}"})
                    answered[answer.status_code] += 1
                except httpx.HTTPError as error:
                    failures.append(repr(error))

    with Server(home, "--share-port") as first:
        port, key = first.url.rpartition(":")[2], first.told["key"]
        threads = [threading.Thread(target=asks, args=(first.url, key, n)) for n in range(6)]
        for thread in threads:
            thread.start()
        with Server(home, "--share-port", "--port", port) as second:
            assert first.stop() == 0
            before = answered[200]
            time.sleep(1)
            with Server(home, "--share-port", "--port", port) as third:
                assert second.stop() == 0
                ended.set()
                for thread in threads:
                    thread.join(30)
                assert third.stop() == 0
    assert not failures
    assert set(answered) == {200}
    assert answered[200] > before > 50
    assert len(answered_calls(home)) == answered[200]


def answered_calls(home: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(home / "bessemer.db")) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM calls")]


@pytest.mark.timed
def test_a_server_from_cold_to_sigterm(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    texts = [text for text, _ in small_rows()]
    outcomes: list[int] = []

    def call(server: Server) -> None:
        """Requests are in hand when the signal comes: each is answered whole or refused."""
        headers = {"Authorization": f"Bearer {server.told['key']}"}
        address = f"{server.url}/predict/small"
        try:
            answer = httpx.post(address, json={"inputs": texts}, headers=headers, timeout=60)
        except httpx.ConnectError:
            outcomes.append(0)
            return
        whole = answer.status_code == 200 and len(answer.json()) == len(texts)
        outcomes.append(200 if whole else answer.status_code)

    with Server(home) as server:
        assert server.seconds_to_ready < 3
        threads = [threading.Thread(target=call, args=(server,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    assert set(outcomes) <= {200, 503, 0}
    assert outcomes.count(200) >= 2
    assert len(answered_calls(home)) == outcomes.count(200)
    # The first start told a key; the second does not.
    with Server(home) as again:
        assert again.told["key"] is None
        assert again.stop() == 0


def send_for_long(caller: socket.socket) -> None:
    for _ in range(1000):
        caller.sendall(b"a" * 4096)
        time.sleep(0.001)


def test_a_head_that_does_not_end_is_hung_up_on(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    with Server(home) as server:
        address = server.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=10) as caller:
            caller.sendall(b"GET /v2 HTTP/1.1\r\nX-Long: ")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                send_for_long(caller)
        assert httpx.get(f"{server.url}/v2").status_code == 401
        # A long body is no long head: the guard answers it.
        headers = {"Authorization": f"Bearer {server.told['key']}"}
        body = {"inputs": ["a" * 200_000]}
        answer = httpx.post(f"{server.url}/predict/small", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200
        assert server.stop() == 0


def test_a_killed_server_loses_no_answered_call(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    with Server(home) as server, httpx.Client() as client:
        client.headers["Authorization"] = f"Bearer {server.told['key']}"
        ids = []
        for _ in range(50):
            answer = client.post(f"{server.url}/predict/small", json={"inputs": "a"})
            ids.append(answer.headers["x-call-id"])
        server.process.kill()
    with Server(home) as again:
        deadline = time.monotonic() + 10
        while len(answered_calls(home)) < 50 and time.monotonic() < deadline:
            time.sleep(0.3)
        assert again.stop() == 0
    assert sorted(answered_calls(home)) == sorted(ids)


def test_grpc_drains_with_the_server(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    with Server(home, "--grpc-port", "0") as server, Triton(server.told["grpc"]) as client:
        key = {"authorization": f"Bearer {server.told['key']}"}
        texts = np.array([text for text, _ in small_rows()], dtype=np.object_)
        tensor = InferInput("text", [len(texts)], "BYTES").set_data_from_numpy(texts)
        done: queue.Queue[tuple[Any, Exception | None]] = queue.Queue()
        for _ in range(4):
            client.async_infer(
                "small", [tensor], lambda result, error: done.put((result, error)), headers=key
            )
        assert client.is_server_ready(key)
        while "bessemer_waiting_texts 0" in httpx.get(f"{server.url}/metrics", headers=key).text:
            assert done.empty()
            time.sleep(0.005)
        assert server.stop() == 0
        ended = [done.get(timeout=5) for _ in range(4)]
        answered = [result for result, error in ended if error is None]
        assert answered, ended
        assert all(len(result.as_numpy("label")) == len(texts) for result in answered)
        told = {error.status() for _, error in ended if error is not None}
        assert told <= {"StatusCode.UNAVAILABLE"}
        assert server.process.stderr.read() == ""
    assert len(answered_calls(home)) == len(answered)


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_taken_port_is_told(option: str, finished: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path / "home", "serve", "--port", "0", option, str(port))
    assert done.returncode == 4
    assert f"Port {port} of 127.0.0.1 is in use" in done.stderr
    assert f"with {option} (0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "nowhere"], 2, "There is no project file"),
        (["rn"], 2, "Did you mean 'run'"),
        (["run", "--fast"], 2, "No such option: --fast"),
        (["releases", "verify", "nothing"], 2, "There is no release 'nothing'"),
        (["deployments", "rollback", "nothing"], 2, "There is no route 'nothing'"),
        (["runs", "show", "nothing", "--json"], 2, "There is no run 'nothing'"),
        (["init", "nothing.csv"], 2, "there is no file"),
    ],
)
def test_errors_are_sentences(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BESSEMER_HOME", str(tmp_path / "home"))
    assert main.run(arguments) == code
    told = capsys.readouterr()
    assert message in told.err
    assert "Traceback" not in told.err
    if "--json" in arguments:
        assert set(json.loads(told.out)) == {"error", "error_type"}
    assert main.run([*arguments, "-v"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_an_error_ends_the_process_with_its_code(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "run", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "There is no project file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gate_that_fails_has_an_exit_code_of_its_own(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    project = shutil.copytree(finished / "project", tmp_path / "project")
    with (project / "bessemer.yaml").open("a") as file:
        file.write("gate: [accuracy: {at_least: 0.9999}]\n")
    done = run(home, "run", str(project))
    assert done.returncode == 3
    assert "Gate failed" in done.stdout


def test_a_disk_that_is_full_is_told(finished: Path, tmp_path: Path) -> None:
    """A real limit of the operating system: no file may grow beyond 1 MB."""
    home = copy_home(finished / "home", tmp_path / "home")
    for stage in ("engines", "export", "evaluate", "release"):
        shutil.rmtree(home / "stages" / stage)
    arguments = command("evaluate", str(finished / "project"))
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; ulimit -f 1024; exec {shlex.join(arguments)}"],
        env={**os.environ, "BESSEMER_HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((home / "stages" / "export").glob("*"))


#: Without the one whose table is made by a script, see test_examples.py.
EXAMPLES = {p.parent.name for p in ROOT.glob("examples/*/bessemer.yaml")} - {"chinese-reviews"}


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_the_examples_are_in_order(example: str, tmp_path: Path) -> None:
    place = ROOT / "examples" / example
    if "public:" in (place / "bessemer.yaml").read_text() and "BESSEMER_DATA" not in os.environ:
        pytest.skip("set BESSEMER_DATA to a folder with the public data sets")
    done = run(tmp_path, "check", str(place), "--explain")
    assert done.returncode == 0, done.stderr
    assert "in order" in done.stdout


def test_a_reader_who_goes_away_is_no_error(tmp_path: Path) -> None:
    """As in `bessemer schema | head -1`: what is written is more than a pipe holds."""
    command = [sys.executable, "-m", "bessemer.cli.main", "schema"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 0
