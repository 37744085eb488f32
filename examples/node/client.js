// Removes a tag from a user by gRPC: over TLS, with a token, once however often it has to be sent, and with the details of errors.
//
// Usage: node client.js HOST:PORT CA_FILE TOKEN_FILE USER_ID TAG_KEY
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

// How long a call may take, and how long it is sent again, in milliseconds.
const CALL_TIME = 5_000;
const RETRY_TIME = 60_000;

// The folder that `untag proto` has written, and the types of errors.
const CONTRACT = process.env.CONTRACT ?? 'contract';
const COMMON = path.join(__dirname, '..', 'proto');
const OPTIONS = { includeDirs: [CONTRACT, COMMON], longs: String };
const { ram } = grpc.loadPackageDefinition(protoLoader.loadSync('ram/tag/v1/tag_service.proto', OPTIONS));
const rpc = protoLoader.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto'], OPTIONS);

function connect(address, caFile, tokenFile) {
  const tls = grpc.credentials.createSsl(fs.readFileSync(caFile));
  // The file is read for each call: what puts tokens there renews them.
  const token = grpc.credentials.createFromMetadataGenerator((context, callback) => {
    fs.readFile(tokenFile, 'ascii', (error, text) => {
      const metadata = new grpc.Metadata();
      if (!error) metadata.set('authorization', `Bearer ${text.trim()}`);
      callback(error, metadata);
    });
  });
  return new ram.tag.v1.TagService(address, grpc.credentials.combineChannelCredentials(tls, token));
}

// The details of an error, by their type.
function detailsOf(error) {
  const found = {};
  const [encoded] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const status = encoded ? rpc['google.rpc.Status'].deserialize(encoded) : { details: [] };
  for (const detail of status.details) {
    const name = detail.type_url.split('/').pop();
    const type = rpc[name];
    if (type) (found[name.split('.').pop()] ??= []).push(type.deserialize(detail.value));
  }
  return found;
}

// How long to wait before the same request is sent again, in milliseconds; undefined where that does not help.
function pauseAfter(error, attempt) {
  if (![grpc.status.UNAVAILABLE, grpc.status.RESOURCE_EXHAUSTED].includes(error.code)) return undefined;
  const [retry] = detailsOf(error).RetryInfo ?? [];
  if (retry) return Number(retry.retryDelay.seconds ?? 0) * 1000 + (retry.retryDelay.nanos ?? 0) / 1e6;
  // Without it the request itself is too large.
  if (error.code === grpc.status.RESOURCE_EXHAUSTED) return undefined;
  return Math.min(100 * 2 ** attempt, 2_000) * (0.5 + Math.random() / 2);
}

function call(service, request) {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + CALL_TIME };
    service.untagResources(request, options, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function untag(service, user, key) {
  // The token makes it one change: an attempt whose answer was lost is not made twice.
  const request = { resourceIds: { values: [user] }, tagKeys: [key], clientToken: crypto.randomUUID() };
  const end = Date.now() + RETRY_TIME;
  for (let attempt = 0; ; attempt++) {
    try {
      return await call(service, request);
    } catch (error) {
      const pause = pauseAfter(error, attempt);
      if (pause === undefined || Date.now() + pause > end) throw error;
      console.error(`once more: ${grpc.status[error.code]}: ${error.details}`);
      await sleep(pause);
    }
  }
}

async function main() {
  const [address, caFile, tokenFile, user, key] = process.argv.slice(2);
  const service = connect(address, caFile, tokenFile);
  try {
    const answer = await untag(service, user, key);
    console.log(`removed ${answer.changedTags} tag in revision ${answer.revision}, request ${answer.requestId}`);
  } catch (error) {
    if (error.code === undefined) throw error;
    const details = detailsOf(error);
    for (const info of details.ErrorInfo ?? []) {
      console.log(`${grpc.status[error.code]} ${info.metadata.code}: ${error.details}`);
    }
    for (const bad of details.BadRequest ?? []) {
      for (const fault of bad.fieldViolations) console.log(`  ${fault.field}: ${fault.description}`);
    }
    for (const info of details.ResourceInfo ?? []) console.log(`  ${info.resourceType} ${info.resourceName}`);
    for (const info of details.RequestInfo ?? []) console.log(`  request ${info.requestId}`);
    console.error(`the tag was not removed: ${grpc.status[error.code]}`);
    process.exitCode = 1;
  } finally {
    service.close();
  }
}

main();
