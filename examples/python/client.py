"""Removes a tag from a user by gRPC: over TLS, with a token, once however often it has to be sent, and with the details of errors.

Usage: client.py HOST:PORT CA_FILE TOKEN_FILE USER_ID TAG_KEY
"""

import random
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from ram.tag.v1 import tag_service_pb2 as messages
from ram.tag.v1 import tag_service_pb2_grpc as services

# How long a call may take, and how long it is sent again, in seconds.
CALL_TIME = 5
RETRY_TIME = 60


class Token(grpc.AuthMetadataPlugin):
    """Shows the token of a file with each call. The file is read each time: what puts tokens there renews them."""

    def __init__(self, path):
        self.path = path

    def __call__(self, context, callback):
        try:
            with open(self.path, encoding="ascii") as file:
                callback([("authorization", f"Bearer {file.read().strip()}")], None)
        except OSError as error:
            callback([], error)


def connect(address, ca_file, token_file):
    with open(ca_file, "rb") as file:
        tls = grpc.ssl_channel_credentials(file.read())
    token = grpc.metadata_call_credentials(Token(token_file))
    return grpc.secure_channel(address, grpc.composite_channel_credentials(tls, token))


def details_of(error):
    """The details of an error, by their type."""
    status = rpc_status.from_call(error)
    found = {}
    for detail in status.details if status else []:
        name = detail.TypeName().split(".")[-1]
        message = getattr(error_details_pb2, name)()
        if detail.Unpack(message):
            found.setdefault(name, []).append(message)
    return found


def pause_after(error, attempt):
    """How long to wait before the same request is sent again, in seconds; None where that does not help."""
    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return None
    details = details_of(error)
    if "RetryInfo" in details:
        return details["RetryInfo"][0].retry_delay.ToMilliseconds() / 1000
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return None  # The request itself is too large.
    return min(0.1 * 2**attempt, 2) * random.uniform(0.5, 1)


def untag(service, user, key):
    # The token makes it one change: an attempt whose answer was lost is not made twice.
    request = messages.UntagResourcesRequest(
        resource_ids=messages.ResourceIds(values=[user]), tag_keys=[key], client_token=str(uuid.uuid4())
    )
    end = time.monotonic() + RETRY_TIME
    attempt = 0
    while True:
        try:
            return service.UntagResources(request, timeout=CALL_TIME)
        except grpc.RpcError as error:
            pause = pause_after(error, attempt)
            if pause is None or time.monotonic() + pause > end:
                raise
            print(f"once more: {error.code().name}: {error.details()}", file=sys.stderr, flush=True)
        time.sleep(pause)
        attempt += 1


def main():
    address, ca_file, token_file, user, key = sys.argv[1:]
    with connect(address, ca_file, token_file) as channel:
        try:
            answer = untag(services.TagServiceStub(channel), user, key)
        except grpc.RpcError as error:
            details = details_of(error)
            for info in details.get("ErrorInfo", []):
                print(f"{error.code().name} {info.metadata['code']}: {error.details()}")
            for fault in [fault for bad in details.get("BadRequest", []) for fault in bad.field_violations]:
                print(f"  {fault.field}: {fault.description}")
            for info in details.get("ResourceInfo", []):
                print(f"  {info.resource_type} {info.resource_name}")
            for info in details.get("RequestInfo", []):
                print(f"  request {info.request_id}")
            sys.exit(f"the tag was not removed: {error.code().name}")
        print(f"removed {answer.changed_tags} tag in revision {answer.revision}, request {answer.request_id}")


if __name__ == "__main__":
    main()
