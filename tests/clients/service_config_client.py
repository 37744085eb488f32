"""Calls several servers with the service config of deploy/client, by the official Python gRPC library.

Usage: service_config_client.py ADDRESSES SERVICE_CONFIG CHECK

ADDRESSES have commas between them, and SERVICE_CONFIG is JSON.
"""

import itertools
import json
import sys
import threading
import time
import uuid

import grpc
from python_client import ALICE, Tags, equal

CALLS = 60
THREADS = 8


def list_often(tags):
    """Enough calls to see where they go."""
    for _ in range(CALLS):
        tags.start("ListTagResources", timeout=None, resource_ids={"values": [ALICE]}).result()


def call_until_the_input_ends(tags):
    """Untags and lists all the time. Prints how many calls were answered, and the errors."""
    answered, errors = itertools.count(), []
    ended = threading.Event()

    def call():
        while not ended.is_set():
            try:
                change = {"resource_ids": {"values": [ALICE]}, "tag_keys": ["env"], "client_token": str(uuid.uuid4())}
                tags.start("UntagResources", timeout=None, **change).result()
                tags.start("ListTagResources", timeout=None, resource_ids={"values": [ALICE]}).result()
                next(answered)
            except grpc.RpcError as error:
                errors.append(f"{error.code()}: {error.details()}")

    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"answered": next(answered), "errors": errors}))


def change_without_a_deadline(tags):
    """The store is held: the call can only end by the deadline of the service config."""
    started = time.monotonic()
    call = tags.start("UntagResources", timeout=None, resource_ids={"values": [ALICE]}, all=True)
    assert call.exception() is not None
    equal(call.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert time.monotonic() - started < 10


def change_while_a_server_drains(tags):
    """Two changes, one for each server. Prints what became of them. Reads a line when the first server is held."""
    list_often(tags)
    print("connected", flush=True)
    sys.stdin.readline()
    change = {"resource_ids": {"values": [ALICE]}, "tag_keys": ["env"]}
    calls = [tags.start("UntagResources", timeout=None, **change) for _ in range(2)]
    print(json.dumps(sorted(call.code().name for call in calls)))


def main():
    addresses, service_config, check = sys.argv[1:]
    options = [
        ("grpc.service_config", service_config),
        # By default it is the list of all addresses, which no server takes. A DNS name needs nothing here.
        ("grpc.default_authority", "untag"),
    ]
    with grpc.insecure_channel(f"ipv4:{addresses}", options) as channel:
        globals()[check](Tags(channel))


if __name__ == "__main__":
    main()
