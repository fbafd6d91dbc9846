"""A load generator: so many requests over so many connections, as fast as they are answered.

    python -m bench.load <url> <key> <texts.json> <connections> <answers.json>

Raw sockets, since the generator shares the machine with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


async def main(url: str, key: str, texts: list[str], connections: int) -> dict[str, object]:
    """Send each text once and return seconds, answers in their order, and how many failed."""
    address = urlsplit(url)
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: "
    )
    queue = list(reversed(list(enumerate(texts))))
    answers: list[object] = [None] * len(texts)
    failed = 0

    async def worker() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while queue:
            number, text = queue.pop()
            body = json.dumps({"inputs": text}).encode()
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            status = await reader.readline()
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            answers[number] = json.loads(await reader.readexactly(length))
            failed += not status.startswith(b"HTTP/1.1 200")
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(connections)))
    return {"seconds": time.monotonic() - began, "answers": answers, "failed": failed}


if __name__ == "__main__":
    url, key, texts, connections, target = sys.argv[1:]
    found = asyncio.run(main(url, key, json.loads(Path(texts).read_text()), int(connections)))
    Path(target).write_text(json.dumps(found))
