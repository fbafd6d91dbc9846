"""The main job from end to end, as a user would type it: `make demo` runs this.

Every step is the real command line in a process of its own; the calls go through HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = {
    "support-intents": [
        "hi, parcel says delivered yesterday but nothing is here and no neighbour has it",
        "How do I get my money back for the kettle I sent you two weeks ago?",
        "discount code SPRING15 doesnt work at checkout, it just says invalid",
    ],
    "banking77": [
        "my card still hasn't arrived after two weeks",
        "why was I charged twice for the same coffee",
        "How can I change my PIN while I am abroad?",
    ],
}


def main() -> None:
    """Run, verify, serve, call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=sorted(TEXTS), default="support-intents")
    parser.add_argument("--serve", action="store_true", help="stay up until Ctrl-C")
    parser.add_argument("--home", type=Path, default=ROOT / "demo-home", help="home folder")
    chosen = parser.parse_args()
    os.environ["BESSEMER_HOME"] = str(chosen.home)
    began = time.monotonic()
    bessemer("run", f"examples/{chosen.data}")
    bessemer("releases", "verify", chosen.data)
    made = json.loads(bessemer("keys", "create", "demo", "--json", quiet=True))
    print(f"a key for the calls below: {made['secret']}\n")
    server = start("serve", "--port", "8080" if chosen.serve else "0", "--json")
    try:
        assert server.stdout is not None
        line = read_document(server.stdout)
        url = f"{line['url']}/predict/{chosen.data}"
        if line["key"]:
            print(f"the first start printed the owner's key, once: {line['key']}")
        for text in TEXTS[chosen.data]:
            best = call(url, made["secret"], text)[0]
            print(f"  {text!r}\n    → {best['label']} ({best['score']:.2f})")
        body = json.dumps({"inputs": TEXTS[chosen.data][0]})
        print(
            f"\ncall it yourself{'' if chosen.serve else ' (make demo SERVE=1 stays up)'}:\n"
            f"  curl {url} -H 'Authorization: Bearer {made['secret']}' -d {shlex.quote(body)}"
        )
        if chosen.serve:
            print("\nCtrl-C ends it.")
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=60)
    if not chosen.serve:
        bessemer("keys", "revoke", made["id"], quiet=True)
    if code:
        sys.exit(f"the server ended with {code}")
    print(f"done in {time.monotonic() - began:.0f} s; everything lies in {chosen.home}")


def bessemer(*arguments: str, quiet: bool = False) -> str:
    """Show a command, run it, and return its output; end the demo if it fails."""
    if not quiet:
        print(f"$ bessemer {shlex.join(arguments)}", flush=True)
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.returncode)
    if not quiet:
        print(flush=True)
    return done.stdout or ""


def start(*arguments: str) -> subprocess.Popen[str]:
    """Show a command and start it."""
    print(f"$ bessemer {shlex.join(arguments)}", flush=True)
    return subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True)


def command(*arguments: str) -> list[str]:
    """Return the command line of this environment's Bessemer."""
    return [sys.executable, "-m", "bessemer.cli.main", *arguments]


def read_document(stream) -> dict:
    """Read one JSON document, however many lines it takes."""
    text = ""
    for line in stream:
        text += line
        if line.startswith("}"):
            return json.loads(text)
    sys.exit("the server ended before it was ready")


def call(url: str, key: str, text: str) -> list[dict]:
    """Make one prediction call."""
    request = urllib.request.Request(
        url,
        json.dumps({"inputs": text}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    main()
