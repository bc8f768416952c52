// Creates, lists and deletes a Pod with the generated client: address, authority, certificate and key follow.

import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';

import { client } from './generated/client.gen';
import {
  createCoreV1NamespacedPod,
  deleteCoreV1NamespacedPod,
  listCoreV1NamespacedPod,
} from './generated/sdk.gen';

const [host, authority, certificate, key] = process.argv.slice(2);
const tls = { ca: readFileSync(authority), cert: readFileSync(certificate), key: readFileSync(key) };

// Node's own `fetch` shows no client certificate.
const withCertificate = async (asked: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
  const wanted = new Request(asked, init);
  const body = Buffer.from(await wanted.arrayBuffer());
  return new Promise((resolve, reject) => {
    const headers = Object.fromEntries(wanted.headers);
    const sent = request(wanted.url, { ...tls, method: wanted.method, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () => {
        const type = answer.headers['content-type'] ?? '';
        resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: { 'content-type': type } }));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
};

const main = async (): Promise<void> => {
  client.setConfig({ baseUrl: host, fetch: withCertificate as typeof fetch, throwOnError: true });
  const path = { namespace: 'default' };
  const made = await createCoreV1NamespacedPod({
    path,
    body: { metadata: { name: 'generated' }, spec: { containers: [{ name: 'c', image: 'nginx' }] } },
  });
  assert.equal(made.data?.spec?.restartPolicy, 'Always');
  const listed = await listCoreV1NamespacedPod({ path, query: { fieldSelector: 'metadata.name=generated' } });
  assert.deepEqual(listed.data?.items.map((pod) => pod.metadata?.uid), [made.data?.metadata?.uid]);
  await deleteCoreV1NamespacedPod({ path: { ...path, name: 'generated' }, query: { gracePeriodSeconds: 0 } });
  const after = await listCoreV1NamespacedPod({ path });
  assert.equal(after.data?.items.length, 0);
  console.log('created, listed and deleted a Pod');
};

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
