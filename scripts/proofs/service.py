"""The service under test, and clients that call it in JSON."""

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ACCOUNT = "1000000000000001"
TAGS = "ram.tag.v1.TagService"
CHANGES = "ram.tag.v1.ChangeService"
USERS = "ram.user.v1.UserService"


class Refused(Exception):
    """An answer that is an error of the service, or no answer at all."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Service:
    """A running `untag serve`, with its log in a file."""

    def __init__(self, program, arguments, log):
        self.log = Path(log)
        command = [program, "serve", "--default-account", ACCOUNT, "--log-format", "json"]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=open(self.log, "w"))
        self.ports = {}
        deadline = time.monotonic() + 120
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the service does not start; see {self.log}")
            time.sleep(0.05)

    def _is_ready(self):
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        for line in lines:
            if line.get("message") == "listening":
                self.ports[line["port"]] = int(line["address"].rsplit(":", 1)[1])
        return {"tags", "admin"} <= self.ports.keys() and any(line.get("message") == "ready" for line in lines)

    @property
    def port(self):
        return self.ports["tags"]

    def metrics(self):
        """The samples of the admin port by name, those with labels added up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["admin"], timeout=30)
        connection.request("GET", "/metrics")
        samples = {}
        for line in connection.getresponse().read().decode().splitlines():
            if not line.startswith("#") and " " in line:
                name, value = line.rsplit(" ", 1)
                name = name.split("{", 1)[0]
                samples[name] = samples.get(name, 0) + float(value)
        connection.close()
        return samples

    def resident(self):
        """The bytes of memory that the process has."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def signal(self, name):
        self.process.send_signal(getattr(signal, name))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit(f"the service did not stop within 60 s of SIGTERM; see {self.log}")


class Client:
    """A connection that is opened again where it is lost."""

    def __init__(self, port, timeout=20):
        self.port, self.timeout, self.connection = port, timeout, None

    def call(self, service, method, message):
        """The answer. Raises Refused where there is none, or it is an error."""
        try:
            if self.connection is not None and self.is_left():
                self.close()
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            body = json.dumps(message)
            headers = {"content-type": "application/json"}
            self.connection.request("POST", f"/{service}/{method}", body, headers)
            answer = self.connection.getresponse()
            read = json.loads(answer.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Refused("no answer", str(error)) from error
        if answer.status != 200:
            raise Refused(read.get("code", "unknown"), read.get("message", ""))
        return read

    def is_left(self):
        """Whether the server has closed the connection, as it does when that is old. Pools of clients look for that too."""
        sock = self.connection.sock
        return sock is not None and bool(select.select([sock], [], [], 0)[0])

    def insist(self, service, method, message, patience=180):
        """The answer of a change, which is sent again with the same token until there is one, and how often it was sent again."""
        message = {**message, "clientToken": str(uuid.uuid4())}
        deadline, again = time.monotonic() + patience, 0
        while True:
            try:
                return self.call(service, method, message), again
            except Refused as error:
                if error.code not in ("no answer", "unavailable", "deadline_exceeded", "resource_exhausted"):
                    raise
                if time.monotonic() > deadline:
                    raise
                again += 1
                time.sleep(0.05)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def pages(self, service, method, message, items):
        """All of a list."""
        found = []
        while True:
            answer = self.call(service, method, message)
            found += answer.get(items, [])
            if not answer.get("nextToken"):
                return found
            message = {**message, "nextToken": answer["nextToken"]}


class Workers:
    """Threads that each do one thing again and again until they are told to stop. The first that fails ends all."""

    def __init__(self):
        self.is_over, self.failure, self.threads = threading.Event(), None, []

    def start(self, work, count=1):
        for number in range(count):
            thread = threading.Thread(target=self._run, args=(work, number), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, work, number):
        try:
            work(number, self.is_over)
        except Exception as error:  # Whatever it is, the proof has failed.
            self.failure = self.failure or error
            self.is_over.set()

    def check(self):
        if self.failure is not None:
            raise self.failure

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(240)
        self.check()


def users(count, tags):
    """Users as `untag import` reads them."""
    for number in range(1, count + 1):
        user = {"account_id": ACCOUNT, "resource_id": str(number), "principal_name": f"u{number}@example.com"}
        yield json.dumps({**user, "tags": tags})
