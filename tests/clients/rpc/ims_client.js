// The official SDK for Node.js as a program: as ims_client.py.
const readline = require("node:readline");

const ims = require("@alicloud/ims20190815");
const { $OpenApiUtil } = require("@alicloud/openapi-core");

async function answer(call) {
  const config = new $OpenApiUtil.Config({
    accessKeyId: call.access_key_id,
    accessKeySecret: call.access_key_secret,
    securityToken: call.security_token,
    endpoint: process.argv[2],
    protocol: "http",
  });
  const client = new ims.default(config);
  const lower = (text) => text[0].toLowerCase() + text.slice(1);
  const fields = Object.entries(call.request).map(([name, value]) => [
    lower(name),
    name === "Tag" ? value.map((tag) => ({ key: tag.Key, value: tag.Value })) : value,
  ]);
  const request = new ims[`${call.action}Request`](Object.fromEntries(fields));
  try {
    const response = await client[lower(call.action)](request);
    return { status: response.statusCode, body: response.body.toMap() };
  } catch (error) {
    const data = error.data || {};
    return {
      status: error.statusCode || data.statusCode,
      code: error.code,
      message: data.Message || error.message,
      request_id: data.RequestId,
    };
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  }
})();
