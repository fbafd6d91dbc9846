"""Real processes: the command line, kill -9, a fresh process, a server that is told to stop."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from safetensors.numpy import load_file
from tests.conftest import ROOT, copy_home, small_rows, write_project

FULL = "train: {method: full, epochs: 3, batch_size: 8, checkpoint_every: 4}\n"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bessemer.cli.main", *arguments]


def run(home: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BESSEMER_HOME": str(home)}
    return subprocess.run(
        command(*arguments), env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )


def train_output(home: Path) -> Path:
    (output,) = (path for path in (home / "stages" / "train").iterdir() if path.is_dir())
    return output


def test_killed_at_random_times_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL to the whole process group, not at step boundaries; then `run` again."""
    project = write_project(tmp_path / "project", FULL)
    straight = tmp_path / "straight"
    began = time.monotonic()
    done = run(straight, "train", str(project))
    assert done.returncode == 0, done.stderr
    whole = time.monotonic() - began
    draws = random.Random(7)
    home, kills, resumed = tmp_path / "killed", 0, 0
    environment = {**os.environ, "BESSEMER_HOME": str(home)}
    for _ in range(20):
        process = subprocess.Popen(
            command("train", str(project)),
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Start-up takes about half of a run; most kills should fall into the training.
        time.sleep(whole * draws.uniform(0.4, 0.9))
        if process.poll() is not None:
            assert process.returncode == 0
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        resumed += bool(list((home / "work").glob("train-*/step-*")))
        if kills == 4:
            break
    done = run(home, "train", str(project))
    assert done.returncode == 0, done.stderr
    assert kills >= 2
    assert resumed >= 1, "no kill fell after a checkpoint: the test tests nothing"
    for name in ("head.safetensors", "encoder.safetensors"):
        one, other = load_file(train_output(straight) / name), load_file(train_output(home) / name)
        assert one.keys() == other.keys()
        assert all(one[key].tobytes() == other[key].tobytes() for key in one), name
    listed = json.loads(run(home, "runs", "list", "--json").stdout)
    assert [r["state"] for r in listed].count("interrupted") == kills
    assert not (home / "work").exists() or not list((home / "work").iterdir())
    events = list((home / "tensorboard").rglob("events.out.tfevents.*"))
    assert events


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
        f"sys.stdout.write(residents.load(Path({str(bundle)!r})).logits(texts).tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(texts), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == wanted.tobytes().hex()


class Server:
    """`bessemer serve` in a process of its own."""

    def __init__(self, home: Path) -> None:
        environment = {**os.environ, "BESSEMER_HOME": str(home)}
        began = time.monotonic()
        self.process = subprocess.Popen(
            command("serve", "--port", "0", "--json"),
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


def test_a_server_from_cold_to_sigterm(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    server = Server(home)
    try:
        assert server.seconds_to_ready < 3
        headers = {"Authorization": f"Bearer {server.told['key']}"}
        texts = [text for text, _ in small_rows()]
        # Requests are in hand when the signal comes: each is answered whole or refused.
        outcomes: list[int] = []

        def call() -> None:
            try:
                answer = httpx.post(
                    f"{server.url}/predict/small", json={"inputs": texts * 4}, headers=headers
                )
                outcomes.append(answer.status_code)
                assert answer.status_code in (200, 503)
                assert answer.status_code == 503 or len(answer.json()) == len(texts) * 4
            except httpx.ConnectError:
                outcomes.append(0)

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        code = server.stop()
        for thread in threads:
            thread.join()
    finally:
        if server.process.poll() is None:
            server.process.kill()
    assert code == 0, server.process.stderr.read()
    assert outcomes.count(200) >= 2
    import sqlite3

    connection = sqlite3.connect(home / "bessemer.db")
    (count,) = connection.execute("SELECT count(*) FROM calls").fetchone()
    connection.close()
    assert count == outcomes.count(200)
    # The first start told a key; the second does not.
    again = Server(home)
    assert again.told["key"] is None
    assert again.stop() == 0


def test_a_killed_server_loses_no_answered_call(finished: Path, tmp_path: Path) -> None:
    home = copy_home(finished / "home", tmp_path / "home")
    server = Server(home)
    headers = {"Authorization": f"Bearer {server.told['key']}"}
    ids = []
    with httpx.Client(headers=headers) as client:
        for _ in range(50):
            answer = client.post(f"{server.url}/predict/small", json={"inputs": "a"})
            ids.append(answer.headers["x-call-id"])
    server.process.kill()
    server.process.wait()
    again = Server(home)
    deadline = time.monotonic() + 10
    import sqlite3

    found: list[str] = []
    while len(found) < 50 and time.monotonic() < deadline:
        time.sleep(0.3)
        connection = sqlite3.connect(home / "bessemer.db")
        found = [row[0] for row in connection.execute("SELECT id FROM calls")]
        connection.close()
    assert again.stop() == 0
    assert sorted(found) == sorted(ids)


def test_a_taken_port_is_told(finished: Path, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path / "home", "serve", "--port", str(port))
    assert done.returncode == 4
    assert f"Port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
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
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run(tmp_path / "home", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if "--json" in arguments:
        assert set(json.loads(done.stdout)) == {"error", "error_type"}
    assert "Traceback" in run(tmp_path / "home", *arguments, "-v", cwd=tmp_path).stderr


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
    project = write_project(tmp_path / "project")
    line = f"ulimit -f 1024; exec {' '.join(command('train', str(project)))}"
    environment = {**os.environ, "BESSEMER_HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {line}"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # The head of four labels is small: training passes, and the export does not.
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {line.replace('train', 'evaluate', 1)}"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "home" / "stages" / "export").glob("*"))
    assert run(tmp_path / "home", "evaluate", str(project)).returncode == 0


def test_the_examples_are_in_order(tmp_path: Path) -> None:
    for example in sorted((ROOT / "examples").glob("*/bessemer.yaml")):
        if "public:" in example.read_text() and "BESSEMER_DATA" not in os.environ:
            continue
        done = run(tmp_path, "check", str(example.parent), "--explain")
        assert done.returncode == 0, done.stderr
        assert "in order" in done.stdout
