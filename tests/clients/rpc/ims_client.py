"""The official SDK for Python as a program: ims_client.py ENDPOINT reads calls from stdin, a JSON object a line with
access_key_id, access_key_secret, security_token, action and request, and prints an answer a line."""

import json
import re
import sys

from alibabacloud_ims20190815 import models
from alibabacloud_ims20190815.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.exceptions import DaraException


def method(action):
    """The method of an action, such as untag_resources of UntagResources."""
    return re.sub("(?!^)([A-Z])", r"_\1", action).lower()


def answer(call):
    config = Config(
        access_key_id=call["access_key_id"],
        access_key_secret=call["access_key_secret"],
        security_token=call.get("security_token"),
        endpoint=sys.argv[1],
        protocol="http",
    )
    request = getattr(models, f"{call['action']}Request")().from_map(call["request"])
    try:
        response = getattr(Client(config), method(call["action"]))(request)
    except DaraException as error:
        data = error.data or {}
        return {
            "status": data.get("statusCode"),
            "code": error.code,
            "message": data.get("Message") or error.message,
            "request_id": data.get("RequestId"),
        }
    return {"status": response.status_code, "body": response.body.to_map()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
