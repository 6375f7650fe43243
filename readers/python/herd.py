"""A herd: processes whose requests all ask for one key at one moment, which has just expired.

It reads its task as a line of JSON, prints "ready", begins at the next line, and prints what each process saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from stoker_reader import Answer, Doorbell, Job, Reader, RedisBackend


CONNECTIONS = 10  # a process: Redis takes 10,000 in all


async def graze(task: dict[str, Any], ready: int, start: int) -> dict[str, Any]:
    loads = 0

    async def load(key: Any) -> str:
        nonlocal loads
        loads += 1
        await asyncio.sleep(task["load_ms"] / 1000)
        return '{"id":1,"name":"from the application"}'

    job = Job("item", "item:{id}", load=load)
    doorbell = Doorbell(task["stoker"], wait=task["wait_ms"] / 1000) if task["stoker"] else None
    backend = RedisBackend.from_url(task["redis_url"], connections=CONNECTIONS, pool_wait=30, timeout=30)
    async with Reader(backend, doorbell=doorbell, load_timeout=30) as reader:

        async def request() -> tuple[float, Answer]:
            begun = time.perf_counter()
            answer = await reader.read(job, id=1)
            return time.perf_counter() - begun, answer

        # Connections are there already, as in a process that has been serving for a while.
        await asyncio.gather(*(backend.get("item:1") for _ in range(CONNECTIONS)))
        if doorbell is not None:
            await doorbell._client.get("/livez")
        os.write(ready, b".")
        await asyncio.get_running_loop().run_in_executor(None, os.read, start, 1)
        done = await asyncio.gather(*(request() for _ in range(task["requests"])))
    seen: dict[str, int] = {}
    for _, answer in done:
        name = f"{answer.outcome.value}/{answer.source.value}"
        seen[name] = seen.get(name, 0) + 1
    return {"loads": loads, "seen": seen, "seconds": [took for took, _ in done]}


def main() -> None:
    task = json.loads(sys.stdin.readline())
    ready, start, results = os.pipe(), os.pipe(), []
    for _ in range(task["processes"]):
        result = os.pipe()
        if os.fork() == 0:
            os.close(start[1])
            with os.fdopen(result[1], "w") as out:
                json.dump(asyncio.run(graze(task, ready[1], start[0])), out)
            os._exit(0)
        os.close(result[1])
        results.append(os.fdopen(result[0]))
    for _ in range(task["processes"]):
        os.read(ready[0], 1)
    print("ready", flush=True)
    sys.stdin.readline()
    os.close(start[0])
    os.close(start[1])  # all who read from it go on
    for result in results:
        print(result.read(), flush=True)


main()
