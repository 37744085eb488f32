"""Checks the service with the official Python gRPC library and nothing generated: the contract comes by reflection.

Usage: python_client.py ADDRESS CHECK [PID]
"""

import base64
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

SERVICE = "ram.tag.v1.TagService"
ALICE = "2073290024939201"
REQUEST_ID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")
PATIENCE = 30


class Tags:
    """The tag service, as reflection describes it."""

    def __init__(self, channel):
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self.methods = {}
        for method in self.pool.FindServiceByName(SERVICE).methods:
            request = message_factory.GetMessageClass(method.input_type)
            answer = message_factory.GetMessageClass(method.output_type)
            call = channel.unary_unary(
                f"/{SERVICE}/{method.name}",
                request_serializer=request.SerializeToString,
                response_deserializer=answer.FromString,
            )
            self.methods[method.name] = (call, request)

    def start(self, method, timeout=PATIENCE, **fields):
        """Starts a call and returns it."""
        call, request = self.methods[method]
        return call.future(request(**fields), timeout=timeout)

    def call(self, method, **fields):
        """Makes a call and returns its answer."""
        return self.start(method, **fields).result()

    def error(self, method, **fields):
        """Makes a call that must fail, and returns the call with its details by their names."""
        call = self.start(method, **fields)
        assert call.exception(timeout=PATIENCE) is not None, call.result()
        status = rpc_status.from_call(call)
        details = {}
        for packed in status.details if status else []:
            detail = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])()
            assert packed.Unpack(detail), packed.type_url
            details.setdefault(type(detail).__name__, []).append(detail)
        return call, details

    def keys(self, *ids):
        """The tag keys of users."""
        answer = self.call("ListTagResources", resource_ids={"values": ids})
        return [tag.tag_key for tag in answer.tag_resources]


def equal(found, wanted):
    """Fails unless two values are equal."""
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def assert_fits(call):
    """Fails where a status is larger than the 8 KiB of headers that every client takes, by HTTP/2's count of 32 bytes
    for each beside its name and value. gRPC C-core refuses larger ones only with some probability."""
    headers = [("grpc-status", "16"), ("grpc-message", quote(call.details()))]
    for name, value in call.trailing_metadata():
        headers.append((name, base64.b64encode(value) if name.endswith("-bin") else value))
    size = sum(len(name) + len(value) + 32 for name, value in headers)
    assert size <= 8192, f"{size} bytes of headers"


def calls_by_reflection(channel):
    tags = Tags(channel)
    equal(sorted(tags.methods), ["ListTagKeys", "ListTagResources", "ListTagValues", "TagResources", "UntagResources"])
    alice = {"values": [ALICE]}
    equal(tags.keys(ALICE), ["cost-center", "env", "team"])
    answer = tags.call("UntagResources", resource_ids=alice, tag_keys=["env", "absent"])
    assert REQUEST_ID.fullmatch(answer.request_id), answer
    equal(tags.keys(ALICE), ["cost-center", "team"])
    tags.call("TagResources", resource_ids=alice, tags=[{"key": "env", "value": "t"}, {"key": "x", "value": ""}])
    equal(tags.keys(ALICE), ["cost-center", "env", "team", "x"])
    tags.call("UntagResources", resource_principal_names={"values": ["Alice@Example.onaliyun.com"]}, all=True)
    equal(tags.keys(ALICE), [])


def calls_with_many_deadlines(channel):
    """More deadlines than fit the table of headers, so that what else was in it is sent again."""
    tags = Tags(channel)
    for number in range(200):
        call = tags.start("ListTagResources", timeout=PATIENCE + number, resource_ids={"values": [ALICE]})
        equal(len(call.result().tag_resources), 3)


def health_check_and_watch(channel, pid):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ["", SERVICE]:
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
        equal(answer.status, health_pb2.HealthCheckResponse.SERVING)
    watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE)
    equal(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
    os.kill(int(pid), signal.SIGTERM)
    equal(next(watch).status, health_pb2.HealthCheckResponse.NOT_SERVING)


def rich_errors(channel):
    tags = Tags(channel)
    call, details = tags.error("UntagResources", resource_ids={"values": [ALICE, "x"]}, tag_keys=["env", "env"])
    equal(call.code(), grpc.StatusCode.INVALID_ARGUMENT)
    (info,), (request,), (bad,) = details["ErrorInfo"], details["RequestInfo"], details["BadRequest"]
    equal((info.domain, info.reason), ("untag", "INVALID_PARAMETER_RESOURCE_ID"))
    equal(info.metadata["code"], "InvalidParameter.ResourceId")
    assert REQUEST_ID.fullmatch(request.request_id), request
    equal([fault.field for fault in bad.field_violations], ["resource_ids.values[1]", "tag_keys[1]"])

    call, details = tags.error("UntagResources", resource_ids={"values": ["8", ALICE, "7"]}, all=True)
    equal(call.code(), grpc.StatusCode.NOT_FOUND)
    equal(details["ErrorInfo"][0].metadata["code"], "EntityNotExist.User")
    equal([info.resource_name for info in details["ResourceInfo"]], ["8", "7"])
    equal(tags.keys(ALICE), ["cost-center", "env", "team"])

    many = [{"key": f"k{number}"} for number in range(20)]
    call, details = tags.error("TagResources", resource_ids={"values": [ALICE]}, tags=many)
    equal(call.code(), grpc.StatusCode.FAILED_PRECONDITION)
    equal(details["ErrorInfo"][0].metadata["code"], "LimitExceeded.User.Tag")
    equal([violation.subject for violation in details["QuotaFailure"][0].violations], [ALICE])


def largest_errors(channel):
    """Fifty names of 128 characters, missing and malformed: more than fits the headers that clients take."""
    tags = Tags(channel)
    missing = [f"{number:064}@{'d' * 63}" for number in range(50)]
    call, details = tags.error("UntagResources", resource_principal_names={"values": missing}, all=True)
    equal(call.code(), grpc.StatusCode.NOT_FOUND)
    assert_fits(call)
    named = [info.resource_name for info in details["ResourceInfo"]]
    assert named and named == missing[: len(named)], named
    positions = details["ErrorInfo"][0].metadata["missing_positions"]
    equal([int(position) for position in positions.split(",")], list(range(50)))

    # The worst for the length of descriptions: characters that are escaped, or have four bytes.
    for character in ["\u0001", "\U0001f3f7", '"']:
        wrong = [character * 128] * 50
        keys = [f"acs:{number}{character * 100}" for number in range(20)]
        call, details = tags.error("UntagResources", resource_principal_names={"values": wrong}, tag_keys=keys)
        equal(call.code(), grpc.StatusCode.INVALID_ARGUMENT)
        assert_fits(call)
        violations = details["BadRequest"][0].field_violations
        equal(violations[0].field, "resource_principal_names.values[0]")
        assert "more faults do not fit" in violations[-1].description, violations[-1]


def own_deadline(channel):
    """The store is held: the call can only end by its deadline."""
    call = Tags(channel).start("UntagResources", timeout=0.3, resource_ids={"values": [ALICE]}, all=True)
    assert call.exception(timeout=PATIENCE) is not None
    equal(call.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


def servers_deadline(channel):
    """The store is held, and the server's own time for a request is over long before the caller's."""
    call, details = Tags(channel).error("UntagResources", resource_ids={"values": [ALICE]}, all=True)
    equal(call.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    equal(details["ErrorInfo"][0].metadata["code"], "DeadlineExceeded")
    equal(call.details(), "the deadline has passed; the change may have been made; it is safe to repeat the request")


def full_queue(channel):
    """The store is held and one change may wait: of many calls, all but a few find no place."""
    tags = Tags(channel)
    request = {"resource_ids": {"values": [ALICE]}, "tag_keys": ["env"]}
    with ThreadPoolExecutor(8) as threads:
        errors = list(threads.map(lambda _: tags.error("UntagResources", **request), range(8)))
    refused = [error for error in errors if error[0].code() == grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert len(refused) >= 4, [error[0].code() for error in errors]
    for _, details in refused:
        equal(details["ErrorInfo"][0].metadata["code"], "Throttling.User")
        equal(details["RetryInfo"][0].retry_delay.ToMilliseconds(), 500)


def sixteen_threads(channel):
    """Users 1 to 320, with the tags env and team: each thread untags twenty of its own and one that all share."""
    tags = Tags(channel)

    def untag(thread):
        for user in range(thread * 20 + 1, thread * 20 + 21):
            tags.call("UntagResources", resource_ids={"values": [str(user), "1"]}, tag_keys=["env"])

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(untag, range(16)))
    found, token = [], ""
    while True:
        page = tags.call("ListTagResources", tags=[{"key": "team"}], next_token=token)
        found += [tag.resource_id for tag in page.tag_resources]
        token = page.next_token
        if not token:
            break
    equal(sorted(map(int, found)), list(range(1, 321)))
    equal(len(tags.call("ListTagResources", tags=[{"key": "env"}]).tag_resources), 0)


def request_id_in_metadata(channel):
    tags = Tags(channel)
    call = tags.start("UntagResources", resource_ids={"values": [ALICE]}, tag_keys=["env"])
    equal(dict(call.initial_metadata())["x-request-id"], call.result().request_id)
    # An error has no headers before its trailers: gRPC hands its metadata over as trailing.
    call, details = tags.error("UntagResources", resource_ids={"values": ["7"]}, tag_keys=["env"])
    equal(dict(call.trailing_metadata())["x-request-id"], details["RequestInfo"][0].request_id)


def main():
    address, check, *arguments = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        globals()[check](channel, *arguments)


if __name__ == "__main__":
    main()
