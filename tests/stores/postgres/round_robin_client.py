"""Untags through several replicas with the official Python gRPC library, until its input ends.

Usage: round_robin_client.py TARGET SERVICE_CONFIG USERS

Request number n removes the tag k<n // USERS> from the user n % USERS + 1. Prints how many were answered, and the
failures.
"""

import itertools
import json
import os
import sys
import threading

import grpc

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "clients"))
from python_client import Tags

THREADS = 16


def main():
    target, service_config, users = sys.argv[1:]
    users = int(users)
    options = [
        # By default it is the list of all addresses, which is no authority: hyper's h2 refuses it.
        ("grpc.default_authority", "untag"),
        ("grpc.service_config", service_config),
    ]
    numbers = itertools.count()
    answered, failures = [], []
    ended = threading.Event()

    def untag(tags):
        while not ended.is_set():
            number = next(numbers)
            user, key = number % users + 1, f"k{number // users}"
            try:
                tags.call("UntagResources", resource_ids={"values": [str(user)]}, tag_keys=[key])
                answered.append(number)
            except grpc.RpcError as error:
                failures.append(f"{error.code()}: {error.details()}")

    with grpc.insecure_channel(target, options) as channel:
        tags = Tags(channel)
        threads = [threading.Thread(target=untag, args=[tags]) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        ended.set()
        for thread in threads:
            thread.join()
    print(json.dumps({"answered": len(answered), "failures": failures}))


if __name__ == "__main__":
    main()
