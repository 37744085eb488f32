"""Loads the service for an hour as a bad day would, and checks that it needs no more at the end than its bounds say.

Beside the load users come and go, policies are followed, the audit is rotated, readers are slow, and the disk is full at times. The
summary is JSON with a plot beside it."""

import argparse
import bisect
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from plot import plot
from service import ROOT, TAGS, USERS, Client, Refused, Service, Workers, users

CLIENTS = 8
# The pause of a client between two requests: what is measured is the service and not a processor that this program keeps busy.
PAUSE = 0.01
POPULATION = 2_000
KEYS = [f"key-{number}" for number in range(8)]
MIB = 1 << 20
# The disk of the store, which is a file system of its own.
DISK = 1024 * MIB
# What the change log may take, and the write-ahead log: twice 64 MiB.
HISTORY = 64 * MIB
WAL = 128 * MIB
# What the memory may have grown by from the first sixth to the last: what the index, the history and caches are still to take.
MEMORY_GROWTH = 64 * MIB
# How long the disk stays full.
FULL = 5
POLICY = {
    "Policies": {"all": {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}},
    "Bindings": [{"Callers": ["*"], "Accounts": ["*"], "Policies": ["all"]}],
}


class Disk:
    """A small file system, if this process may mount one; else a folder, which is never full."""

    def __init__(self, folder):
        self.folder, self.filler = folder, folder / "filler"
        folder.mkdir(parents=True, exist_ok=True)
        self.is_mounted = os.geteuid() == 0 and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "untag-soak", folder], check=False
        ).returncode

    def fill(self):
        """Takes all that is free but a page or two."""
        with open(self.filler, "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(MIB))
            except OSError:
                pass

    def free(self):
        self.filler.unlink(missing_ok=True)

    def unmount(self):
        if self.is_mounted:
            subprocess.run(["umount", "-l", self.folder], check=False)


class Load:
    """Requests of all kinds, and how long those took that were answered."""

    def __init__(self, port):
        self.port, self.begun = port, time.monotonic()
        self.latencies, self.refused, self.count = [], {}, 0

    def timed(self, client, service, method, message):
        """Carries a request out. A refusal is counted: it is for a full disk, or for a user who is gone."""
        begun = time.monotonic()
        try:
            answer = client.call(service, method, message)
        except Refused as refused:
            self.refused[refused.code] = self.refused.get(refused.code, 0) + 1
            if refused.code not in ("unavailable", "not_found", "already_exists", "failed_precondition", "resource_exhausted"):
                raise
            time.sleep(0.01)
            return {}
        self.count += 1
        self.latencies.append((begun - self.begun, time.monotonic() - begun))
        return answer

    def mixed(self, number, is_over):
        client, dice = Client(self.port), random.Random(number)
        while not is_over.is_set():
            ids = [str(dice.randint(1, POPULATION)) for _ in range(dice.choice([1, 1, 1, 1, 20]))]
            named = {"resourceIds": {"values": sorted(set(ids))}}
            what = dice.random()
            if what < 0.45:
                self.timed(client, TAGS, "UntagResources", {**named, "tagKeys": dice.sample(KEYS, 2), "allowMissing": True})
            elif what < 0.8:
                tag = {"key": dice.choice(KEYS), "value": str(dice.randint(0, 9))}
                self.timed(client, TAGS, "TagResources", {**named, "tags": [tag]})
            elif what < 0.95:
                self.timed(client, TAGS, "ListTagResources", named)
            else:
                self.timed(client, TAGS, "ListTagResources", {"tags": [{"key": dice.choice(KEYS)}], "pageSize": 100})
            time.sleep(PAUSE)

    def come_and_go(self, number, is_over):
        client, next_id = Client(self.port), 10_000_000 * (number + 1)
        while not is_over.is_set():
            next_id += 1
            user = {"resourceId": str(next_id), "principalName": f"guest-{next_id}@example.com", "tags": {"env": "soak"}}
            if self.timed(client, USERS, "CreateUser", {"user": user}):
                self.timed(client, USERS, "DeleteUser", {"resourceId": str(next_id)})
            time.sleep(0.05)

    def read_slowly(self, _number, is_over):
        """Asks for all changes, and takes a few bytes of them a second; and asks for lists and takes nothing."""
        while not is_over.is_set():
            body = b'\x00\x00\x00\x00\x02\x08\x02'
            head = f"POST /ram.tag.v1.ChangeService/WatchChanges HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+proto\r\ncontent-length: {len(body)}\r\n\r\n"
            with socket.create_connection(("127.0.0.1", self.port)) as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.sendall(head.encode() + body)
                slow.settimeout(2)
                for _ in range(20):
                    try:
                        if is_over.is_set() or not slow.recv(512):
                            break
                    except OSError:
                        break
                    time.sleep(1)

    def p99(self, begin, end):
        """The 99th percentile of the latencies between two moments, in milliseconds. Clients have ended, and latencies are in order."""
        first, last = (bisect.bisect_left(self.latencies, (moment,)) for moment in (begin, end))
        taken = sorted(latency for _, latency in self.latencies[first:last])
        return 1000 * taken[len(taken) * 99 // 100] if taken else None


def disturb(service, disk, folder, windows):
    """What operators do: a policy that is written anew, a rotated audit, and a disk that is full for a while."""

    def work(_number, is_over):
        round_number = 0
        while not is_over.wait(10):
            round_number += 1
            written = folder / "policy.new"
            written.write_text(json.dumps({**POLICY}, indent=round_number % 4))
            written.rename(folder / "policy.json")
            service.signal("SIGHUP")
            audit = folder / "audit.jsonl"
            if audit.exists():
                audit.rename(folder / "audit.jsonl.1")
            if disk.is_mounted and round_number % 6 == 3:
                begun = time.monotonic()
                disk.fill()
                is_over.wait(FULL)
                disk.free()
                windows.append(begun)

    return work


def history_bytes(database):
    """What the change log takes: each commit has the total of all before it."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    totals = [
        connection.execute(f"SELECT total FROM change_log ORDER BY sequence {order} LIMIT 1").fetchone()
        for order in ("ASC", "DESC")
    ]
    connection.close()
    return totals[1][0] - totals[0][0] if all(totals) else 0


def sample(service, data, begun):
    def size(name):
        path = data / name
        return path.stat().st_size if path.exists() else 0

    return {
        "seconds": round(time.monotonic() - begun, 1),
        "resident": service.resident(),
        "descriptors": service.descriptors(),
        "wal": size("untag.db-wal"),
        "database": size("untag.db"),
        "history": history_bytes(data / "untag.db"),
    }


def report(load, samples, minutes, windows, folder):
    """The summary, and what is out of its bounds."""
    end = samples[-1]["seconds"]
    part = end / 6
    first = [taken for taken in samples if taken["seconds"] < part]
    last = [taken for taken in samples if taken["seconds"] >= end - part]
    peak = {name: max(taken[name] for taken in samples) for name in ("resident", "descriptors", "wal", "history")}
    p99 = [load.p99(0, part), load.p99(end - part, end)]
    checks = {
        "p99 of the last sixth within twice that of the first": p99[1] is not None and p99[1] <= 2 * p99[0],
        "memory": max(t["resident"] for t in last) <= max(t["resident"] for t in first) + MEMORY_GROWTH,
        "descriptors": last[-1]["descriptors"] <= max(t["descriptors"] for t in first) + 8,
        "write-ahead log": peak["wal"] <= WAL,
        "change log": peak["history"] <= HISTORY * 1.25,
    }
    summary = {
        "minutes": minutes,
        "answered": load.count,
        "refused": load.refused,
        "full disks": len(windows),
        "p99_ms": {"first": p99[0], "last": p99[1]},
        "peak": peak,
        "end": last[-1],
        "checks": checks,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    series = {
        "p99, ms": [(t["seconds"], load.p99(t["seconds"] - 10, t["seconds"]) or 0) for t in samples],
        "memory, MiB": [(t["seconds"], t["resident"] / MIB) for t in samples],
        "write-ahead log, MiB": [(t["seconds"], t["wal"] / MIB) for t in samples],
        "change log, MiB": [(t["seconds"], t["history"] / MIB) for t in samples],
        "descriptors": [(t["seconds"], t["descriptors"]) for t in samples],
    }
    (folder / "summary.svg").write_text(plot(series))
    print(json.dumps(summary, indent=2))
    return all(checks.values())


def run(program, minutes, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    disk = Disk(folder / "disk")
    if not disk.is_mounted:
        print("no file system can be mounted here, so that the disk is never full", file=sys.stderr)
    data = disk.folder / "data"
    service, workers = None, Workers()
    try:
        lines = folder / "users.jsonl"
        lines.write_text("\n".join(users(POPULATION, {key: "0" for key in KEYS})) + "\n")
        subprocess.run([program, "import", "--data-dir", data, lines], check=True)
        (folder / "policy.json").write_text(json.dumps(POLICY))
        arguments = ["--data-dir", data, "--history-max-bytes", str(HISTORY), "--policy", folder / "policy.json"]
        service = Service(program, [*map(str, arguments), "--audit-log", str(folder / "audit.jsonl")], folder / "untag.log")
        load, windows, samples = Load(service.port), [], []
        workers.start(load.mixed, CLIENTS)
        workers.start(load.come_and_go, 2)
        workers.start(load.read_slowly, 4)
        workers.start(disturb(service, disk, folder, windows))
        while time.monotonic() - load.begun < 60 * minutes and not workers.is_over.is_set():
            time.sleep(2)
            samples.append(sample(service, data, load.begun))
        workers.stop()
        load.latencies.sort()
        is_good = report(load, samples, minutes, windows, folder)
        service.stop()
        return is_good
    finally:
        workers.is_over.set()
        if service is not None:
            service.process.kill()
        disk.free()
        disk.unmount()


def main():
    arguments = argparse.ArgumentParser(prog="scripts/prove soak", description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--program", default=str(ROOT / "target/release/untag"))
    given = arguments.parse_args()
    sys.exit(0 if run(given.program, given.minutes, ROOT / "target/prove/soak") else 1)


main()
