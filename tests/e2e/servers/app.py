"""An HTTP server on asyncio with timers, a pool of threads and a child process; see verifying_client.py."""
import asyncio
import hashlib
import subprocess
from concurrent.futures import ThreadPoolExecutor

PORT = 8080


class App:
    def __init__(self):
        self.pool = ThreadPoolExecutor(4)
        self.counts = {}
        self.ticks = 0
        self.child = None
        self.child_is_free = asyncio.Lock()

    async def start(self):
        self.child = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    async def echo(self, text):
        async with self.child_is_free:
            self.child.stdin.write(f"{text}\n".encode())
            await self.child.stdin.drain()
            return (await self.child.stdout.readline()).decode().rstrip("\n")

    async def tick(self):
        while True:
            await asyncio.sleep(0.01)
            self.ticks += 1

    async def answer(self, path):
        _, action, *rest = path.split("/")
        if action == "digest":
            digest = lambda: hashlib.sha256(rest[0].encode()).hexdigest()
            return await asyncio.get_running_loop().run_in_executor(self.pool, digest)
        if action == "after":
            await asyncio.sleep(int(rest[0]) / 1000)
            return f"after {rest[1]}"
        if action == "count":
            self.counts[rest[0]] = self.counts.get(rest[0], 0) + 1
            return str(self.counts[rest[0]])
        if action == "echo":
            return await self.echo(rest[0])
        return str(self.ticks)

    async def serve(self, reader, writer):
        while head := await read_head(reader):
            body = (await self.answer(head.split()[1])).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()


async def read_head(reader):
    """The head of a request, or an empty string at the end of the connection."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


async def main():
    app = App()
    await app.start()
    ticker = asyncio.create_task(app.tick())
    server = await asyncio.start_server(app.serve, "0.0.0.0", PORT)
    async with server:
        await ticker


asyncio.run(main())
