"""Kills and stops the leader of a Patroni cluster under load, and checks that nothing that was answered is lost.

Three nodes on this machine in synchronous mode, with etcd. In turn the leader's processes are killed and stopped; a node that was stopped
goes on once there is another leader, and believes then that it leads."""

import argparse
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from service import CHANGES, ROOT, TAGS, Client, Service, Workers, users

CLIENTS = 6
USERS = 60
PASSWORD = "correct-horse-battery"
NODES = 3


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unprivileged():
    """What Popen needs to run as the user postgres, since PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Node:
    """A Patroni with its PostgreSQL."""

    def __init__(self, name, folder, etcd):
        self.name, self.folder, self.process = name, folder, None
        self.port, self.rest = free_port(), free_port()
        bin_dir = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        account = {"username": "postgres", "password": PASSWORD}
        self.config = {
            "scope": "untag",
            "name": name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "etcd3": {"hosts": f"127.0.0.1:{etcd}"},
            "bootstrap": {
                "dcs": {
                    "ttl": 20,
                    "loop_wait": 4,
                    "retry_timeout": 5,
                    "synchronous_mode": True,
                    "synchronous_mode_strict": True,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "parameters": {"wal_log_hints": "on", "max_connections": 60, "shared_buffers": "64MB"},
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(folder / "data"),
                "bin_dir": bin_dir,
                "pg_hba": ["host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256"],
                "authentication": {"superuser": account, "replication": {**account, "username": "replicator"}, "rewind": account},
                "parameters": {"unix_socket_directories": ""},
            },
        }

    def start(self):
        config = self.folder / "patroni.json"
        config.write_text(json.dumps(self.config))
        # The system's own, which the user postgres may run.
        python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "target/prove/python"), "HOME": str(self.folder)}
        output = open(self.folder / "log", "a")
        self.process = subprocess.Popen(
            [python, "-m", "patroni", config], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder,
            env=environment, start_new_session=True, **unprivileged(),
        )

    def processes(self):
        """Patroni, the postmaster, and its children: the postmaster has a session of its own."""
        found = [self.process.pid]
        pid_file = self.folder / "data/postmaster.pid"
        if pid_file.exists():
            postmaster = int(pid_file.read_text().split()[0])
            found.append(postmaster)
            try:
                children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
                found += [int(child) for child in children.split()]
            except OSError:
                pass
        return found

    def signal_all(self, name):
        for pid in self.processes():
            try:
                os.kill(pid, getattr(signal, name))
            except ProcessLookupError:
                pass

    def state(self):
        """What Patroni says of the node, or nothing where it says nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/patroni", timeout=2) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except (OSError, ValueError):
            return {}


class Cluster:
    def __init__(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.folder = folder
        client, peer = free_port(), free_port()
        etcd = folder / "etcd"
        urls = {"client": f"http://127.0.0.1:{client}", "peer": f"http://127.0.0.1:{peer}"}
        self.etcd = subprocess.Popen(
            ["etcd", "--name", "one", "--data-dir", etcd, "--listen-client-urls", urls["client"],
             "--advertise-client-urls", urls["client"], "--listen-peer-urls", urls["peer"],
             "--initial-advertise-peer-urls", urls["peer"], "--initial-cluster", f"one={urls['peer']}"],
            stdin=subprocess.DEVNULL, stdout=open(folder / "etcd.log", "w"), stderr=subprocess.STDOUT,
        )
        self.nodes = []
        for number in range(NODES):
            node = folder / f"node-{number}"
            node.mkdir()
            if os.geteuid() == 0:
                shutil.chown(node, "postgres")
            self.nodes.append(Node(f"node-{number}", node, client))
            self.nodes[-1].start()

    def leader(self, but=None):
        """The node that leads, another one than `but`."""
        for node in self.nodes:
            state = node.state() if node is not but else {}
            if state.get("role") in ("master", "primary") and state.get("state") == "running":
                return node
        return None

    def wait_for_leader(self, but=None, patience=180):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if (node := self.leader(but)) is not None:
                return node
            time.sleep(0.2)
        sys.exit(f"there is no leader after {patience} s; see {self.folder}")

    def wait_until_whole(self, patience=240):
        """Waits until each node runs, and the leader has a standby whose answer it waits for."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            states = [node.state() for node in self.nodes]
            running = all(state.get("state") in ("running", "streaming") for state in states)
            if running and any(state.get("sync_standby") for state in states):
                return
            time.sleep(0.3)
        sys.exit(f"the cluster is not whole after {patience} s; see {self.folder}")

    def url(self, database="untag"):
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgres://postgres:{PASSWORD}@{hosts}/{database}?target_session_attrs=read-write"

    def stop(self):
        for node in self.nodes:
            node.signal_all("SIGCONT")
            node.signal_all("SIGKILL")
        self.etcd.kill()


class Load:
    """Clients that set and remove a tag of their own users in turn, and what they were answered."""

    def __init__(self, port):
        self.port, self.answered, self.again = port, [], 0

    def run(self, number, is_over):
        client, rounds = Client(self.port), 0
        while not is_over.is_set():
            user = str(1 + number + CLIENTS * (rounds % (USERS // CLIENTS)))
            ids = {"resourceIds": {"values": [user]}}
            tag = {"key": "run", "value": f"{number}-{rounds}"}
            for method, message in (("TagResources", {**ids, "tags": [tag]}), ("UntagResources", {**ids, "tagKeys": ["run"]})):
                answer, again = client.insist(TAGS, method, message)
                if answer.get("changedTags") != 1:
                    raise AssertionError(f"{method} of user {user} has changed {answer}")
                self.answered.append((int(answer["revision"]), answer["requestId"]))
                self.again += again
            rounds += 1

    def wait_for_more(self, more, patience=120):
        wanted, deadline = len(self.answered) + more, time.monotonic() + patience
        while len(self.answered) < wanted:
            if time.monotonic() > deadline:
                sys.exit("the service does not go on")
            time.sleep(0.05)


def check(port, answered):
    """Checks that the log has each answered change, once and under its revision, and no gap."""
    log = Client(port, 60).pages(CHANGES, "ListChanges", {"order": "CHANGE_ORDER_OLDEST_FIRST"}, "changes")
    revisions = [int(change["revision"]) for change in log]
    assert revisions == list(range(1, len(log) + 1)), "the revisions have gaps"
    logged = {change["requestId"]: int(change["revision"]) for change in log}
    assert len(logged) == len(log), "a request has two entries"
    lost = [request for revision, request in answered if logged.get(request) != revision]
    return len(log), len(lost)


def run(program, runs, folder):
    cluster, service = Cluster(folder), None
    workers = Workers()
    try:
        cluster.wait_for_leader()
        cluster.wait_until_whole()
        leader = cluster.leader()
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(leader.port), "-U", "postgres", "-qc", "CREATE DATABASE untag"],
            env=environment, check=True,
        )
        store = ["--store", cluster.url()]
        subprocess.run([program, "migrate", *store], check=True)
        lines = folder / "users.jsonl"
        lines.write_text("\n".join(users(USERS, {"env": "prod"})) + "\n")
        subprocess.run([program, "import", *store, lines], check=True)
        service = Service(program, [*store, "--request-timeout", "5"], folder / "untag.log")
        load = Load(service.port)
        workers.start(load.run, CLIENTS)
        load.wait_for_more(100)
        for number in range(runs):
            fail_over(cluster, load, number, workers)
        workers.stop()
        entries, lost = check(service.port, load.answered)
        print(f"{runs} failovers: {len(load.answered)} changes answered, {load.again} requests sent again, {lost} answered changes lost")
        assert entries == len(load.answered), f"{entries} entries for {len(load.answered)} answers"
        return lost == 0
    finally:
        workers.is_over.set()
        cluster.stop()
        if service is not None:
            service.process.kill()


def fail_over(cluster, load, number, workers):
    """Takes the leader away, and waits until all is whole again."""
    is_kill = number % 2 == 0
    old = cluster.wait_for_leader()
    begun = time.monotonic()
    old.signal_all("SIGKILL" if is_kill else "SIGSTOP")
    new = cluster.wait_for_leader(but=old)
    led = time.monotonic() - begun
    load.wait_for_more(1)
    answered = time.monotonic() - begun
    if is_kill:
        old.process.wait()
        old.start()
    else:
        old.signal_all("SIGCONT")
    load.wait_for_more(100)
    cluster.wait_until_whole()
    workers.check()
    how = "killed" if is_kill else "stopped"
    print(f"{number + 1}: {old.name} {how}, {new.name} leads after {led:.1f} s, an answer after {answered:.1f} s", flush=True)


def main():
    arguments = argparse.ArgumentParser(prog="scripts/prove failover", description=__doc__.splitlines()[0])
    arguments.add_argument("--runs", type=int, default=10, help="how often the leader is taken away")
    arguments.add_argument("--program", default=str(ROOT / "target/release/untag"))
    given = arguments.parse_args()
    sys.exit(0 if run(given.program, given.runs, ROOT / "target/prove/failover") else 1)


main()
