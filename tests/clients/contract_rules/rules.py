"""Says which rules of the contract a message breaks, as a client that checks requests by protovalidate finds out.

Reads the descriptors of the contract as a line of base64, and then a line `TYPE BASE64` for each message. Answers each of those with a
line: a JSON array of the rules that it breaks, `FIELD RULE`."""

import json
import sys
from base64 import b64decode

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from protovalidate import Validator


def published(encoded):
    """The descriptors, in a pool of their own."""
    files = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(encoded).file}
    pool = descriptor_pool.DescriptorPool()

    def add(name):
        # What a file imports comes before it.
        if (file := files.pop(name, None)) is not None:
            for imported in file.dependency:
                add(imported)
            pool.Add(file)

    for name in list(files):
        add(name)
    return pool


def field_path(violation):
    path = ""
    for element in violation.proto.field.elements if violation.proto.has_field("field") else ():
        path += ("." if path else "") + element.field_name
        if element.subscript:
            path += f"[{json.dumps(element.subscript.value, ensure_ascii=False)}]"
    return path


def main():
    pool = published(b64decode(sys.stdin.readline()))
    validator = Validator()
    for line in sys.stdin:
        name, _, encoded = line.partition(" ")
        message = message_factory.GetMessageClass(pool.FindMessageTypeByName(name)).FromString(b64decode(encoded))
        broken = (f"{field_path(violation)} {violation.proto.rule_id}" for violation in validator.collect_violations(message))
        print(json.dumps(sorted(broken)), flush=True)


main()
