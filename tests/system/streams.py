#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many concurrent streams of mixed sizes, each checked byte by byte.

streams.py server ADDRESS PORT
streams.py load ADDRESS PORT COUNT SEED      one JSON line; exit 0: all streams intact
streams.py idle ADDRESS PORT COUNT           opens COUNT streams, says "READY" when each has echoed a byte,
                                             keeps them until its standard input ends
streams.py stall ADDRESS PORT COUNT          the same, but each asks for more than will come, and reads nothing of it

A stream: the client says how many bytes it will send and how many it wants; both follow at the same time. The
content of each direction is a pseudo-random sequence of its own, so that bytes of another stream are seen as wrong.
"""
import asyncio
import collections
import json
import random
import resource
import struct
import sys
import time

HEAD = struct.Struct("!QQQ")  # id of the stream, bytes towards the server, bytes back
CHUNK = 32768
NOISE = random.Random(7).randbytes(CHUNK + 65536)


def piece(stream, offset, n):
    """Bytes offset..offset+n of stream's sequence; n at most CHUNK, offset a multiple of CHUNK."""
    start = (stream * 40503 + (offset // CHUNK) * 257) % 65536
    return NOISE[start:start + n]


async def send(writer, stream, total):
    for offset in range(0, total, CHUNK):
        writer.write(piece(stream, offset, min(CHUNK, total - offset)))
        await writer.drain()


async def receive(reader, stream, total):
    for offset in range(0, total, CHUNK):
        n = min(CHUNK, total - offset)
        if await reader.readexactly(n) != piece(stream, offset, n):
            raise ValueError(f"stream {stream}: wrong bytes near {offset}")


async def serve(reader, writer):
    try:
        stream, up, down = HEAD.unpack(await reader.readexactly(HEAD.size))
        await asyncio.gather(receive(reader, 2 * stream, up), send(writer, 2 * stream + 1, down))
        writer.write_eof()
        await reader.read()
    except (ValueError, OSError, asyncio.IncompleteReadError) as e:
        print(f"server: {e}", file=sys.stderr, flush=True)
    finally:
        writer.close()


async def one(address, port, stream, up, down):
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(HEAD.pack(stream, up, down))
        await asyncio.gather(send(writer, 2 * stream, up), receive(reader, 2 * stream + 1, down))
        if await reader.read(1):
            raise ValueError(f"stream {stream}: bytes after its end")
    finally:
        writer.close()


def size(chance):
    """Mixed as traffic is: many small, few large."""
    return chance.choices((0, 1, chance.randrange(1, 2000), chance.randrange(2000, 60000),
                           chance.randrange(60000, 400000)), (2, 5, 48, 35, 10))[0]


async def load(address, port, count, seed):
    chance = random.Random(seed)
    sizes = [(size(chance), size(chance)) for _ in range(count)]
    start = time.monotonic()
    results = await asyncio.gather(*(one(address, port, i, up, down) for i, (up, down) in enumerate(sizes)),
                                   return_exceptions=True)
    bad = [f"{type(r).__name__}: {r}" for r in results if isinstance(r, BaseException)]
    print(json.dumps({"streams": count, "intact": count - len(bad), "bytes": sum(map(sum, sizes)),
                      "seconds": round(time.monotonic() - start, 2),
                      "errors": collections.Counter(bad).most_common(5)}))
    return bool(bad)


async def idle(address, port, count):
    streams = await asyncio.gather(*(asyncio.open_connection(address, port) for _ in range(count)))
    for i, (_, writer) in enumerate(streams):
        writer.write(HEAD.pack(i, 1 << 40, 1))  # the server waits for more than will come
        writer.write(piece(2 * i, 0, 1))
    for i, (reader, _) in enumerate(streams):
        await receive(reader, 2 * i + 1, 1)
    print("READY", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    return 0


async def stall(address, port, count):
    streams = await asyncio.gather(*(asyncio.open_connection(address, port) for _ in range(count)))
    for i, (_, writer) in enumerate(streams):
        writer.transport.pause_reading()
        writer.write(HEAD.pack(i, 0, 1 << 40))
    print("READY", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    return 0


async def server(address, port):
    async with await asyncio.start_server(serve, address, port, backlog=4096) as s:
        await s.serve_forever()


def main():
    what, address, port, *rest = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = {"server": server, "load": load, "idle": idle, "stall": stall}[what]
    return asyncio.run(run(address, int(port), *map(int, rest)))


if __name__ == "__main__":
    sys.exit(main())
