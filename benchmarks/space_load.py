"""A served Space, and many clients that use it at once; part of `bench_space.py`."""

import random
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gradio_client import Client, handle_file

# What a client asks for: an endpoint's name, and its arguments.
Request = tuple[str, dict[str, Any]]

_METHODS = ("gradcam", "layercam", "hirescam", "eigencam")
_TARGETS = ("predicted", "cat", "ship")


class Server:
    """`cifar-space` with some arguments, until the end of the block.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        command = [Path(sys.executable).with_name("cifar-space"), "--port", str(port), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self) -> Self:
        if self._process.stdout is None or self.url not in (told := self._process.stdout.readline()):
            self._process.kill()
            raise RuntimeError(f"the server did not start: {told}")
        # Read on, or a server that has much to say would stop with a full pipe.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    def memory_mib(self) -> float:
        """Return the resident memory of the server's process (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@dataclass
class Load:
    """What many clients met.

    Attributes:
        seconds: How long they asked.
        answers: How many answers they got.
        wrong: How many of them differ from those to one client alone.
        errors: What else happened.
        milliseconds: How long each answer took, by endpoint.
        series_mib: The server's memory, second by second.
        memory_mib: Its medians in the second and in the last quarter of the time.
    """

    seconds: float
    answers: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    series_mib: list[float] = field(default_factory=list)
    memory_mib: tuple[float, float] = (0.0, 0.0)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def requests_of(number: int, picture: Path) -> list[Request]:
    """Return what a client asks: of its own picture, that nobody else has, of the errors, and of the model."""
    drawn = random.Random(number)
    asked: list[Request] = [
        (
            "/classify",
            {
                "images": [picture.as_posix()],
                "top": drawn.randint(1, 10),
                "method": drawn.choice(_METHODS),
                "target": drawn.choice(_TARGETS),
                "opacity": drawn.choice([0.25, 0.5, 0.75]),
            },
        )
        for _ in range(2)
    ]
    asked.append(("/classify", {"images": [picture.as_posix()], "top": 3, "explain": False}))
    order, page = drawn.choice(["confidence", "loss", "chance"]), drawn.randint(1, 5)
    asked.append(("/misclassified", {"count": 120, "page": page, "order": order, "seed": number}))
    asked.append(("/misclassified", {"count": 2, "order": "chance", "seed": number, "explain": True}))
    asked.append(("/model", {}))
    return asked


def ask(client: Client, request: Request) -> Any:
    """Return the answer to a request."""
    name, arguments = request
    given = dict(arguments)
    if "images" in given:
        given["images"] = [handle_file(path) for path in given["images"]]
    return client.predict(**given, api_name=name)


def measure_load(run: Path, pictures: Sequence[Path], *, seconds: float) -> Load:
    """Let as many clients as there are pictures ask a server at once, each for its own.

    What is right is what the server answers to one client alone; it is started anew before the others come, so that
    it remembers nothing.
    """
    plans = [requests_of(number, picture) for number, picture in enumerate(pictures)]
    with Server(["--run", str(run)]) as server:
        alone = new_client(server)
        expected = [[ask(alone, request) for request in plan] for plan in plans]
        alone.close()
    load = Load(seconds)
    lock = threading.Lock()
    with Server(["--run", str(run)]) as server:
        clients = [new_client(server) for _ in plans]
        end = time.monotonic() + seconds

        def use(number: int) -> None:
            drawn = random.Random(-number)
            while time.monotonic() < end:
                which = drawn.randrange(len(plans[number]))
                name = plans[number][which][0]
                started = time.perf_counter()
                try:
                    if drawn.random() < 0.1:
                        with urllib.request.urlopen(server.url, timeout=60) as page:
                            page.read()
                        name, right = "the page", True
                    else:
                        right = ask(clients[number], plans[number][which]) == expected[number][which]
                except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and told
                    with lock:
                        load.errors.append(f"{name}: {error!r}"[:300])
                    continue
                with lock:
                    load.answers += 1
                    load.wrong += not right
                    load.milliseconds.setdefault(name, []).append(1000 * (time.perf_counter() - started))

        threads = [threading.Thread(target=use, args=(number,)) for number in range(len(plans))]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            load.series_mib.append(server.memory_mib())
            time.sleep(1)
        for client in clients:
            client.close()
    quarter = max(1, len(load.series_mib) // 4)
    second, last = load.series_mib[quarter : 2 * quarter], load.series_mib[-quarter:]
    load.memory_mib = (statistics.median(second), statistics.median(last))
    return load


def new_client(server: Server) -> Client:
    """Return a client as programs have it."""
    return Client(server.url, verbose=False, analytics_enabled=False)
