// What the examples of @kubernetes/client-node do, each a function; prints a line `passed NAME` or `failed NAME: WHY` for each.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const namespace = 'node-client';
const image = 'busybox:stable';

const settings = (name, color) => ({ metadata: { name, labels: { from: 'node' } }, data: { color } });

// A promise and the function that keeps it, refused after a minute and a half.
function promised(what) {
  let keep;
  const promise = new Promise((resolve, reject) => {
    keep = resolve;
    setTimeout(() => reject(new Error(`${what}: nothing after 90 s`)), 90_000).unref();
  });
  return [promise, keep];
}

async function ready(name) {
  const [seen, keep] = promised(`pod ${name} to be ready`);
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const watching = await new k8s.Watch(config).watch(path, { fieldSelector: `metadata.name=${name}` }, (_, pod) => {
    if (pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')) keep();
  }, () => {});
  await seen;
  watching.abort();
}

function text(stream) {
  let all = '';
  stream.on('data', (part) => (all += part));
  return () => all;
}

const calls = {
  'create, read and delete a namespace': async () => {
    await core.createNamespace({ body: { metadata: { name: 'node-client-gone' } } });
    assert.equal((await core.readNamespace({ name: 'node-client-gone' })).metadata.name, 'node-client-gone');
    await core.deleteNamespace({ name: 'node-client-gone' });
  },
  'list pods of a namespace': async () => {
    const list = await core.listNamespacedPod({ namespace });
    assert.ok(list.items.some((pod) => pod.metadata.name === 'box'));
  },
  'create, replace and delete a typed object': async () => {
    const made = await core.createNamespacedConfigMap({ namespace, body: settings('typed', 'blue') });
    const replaced = await core.replaceNamespacedConfigMap({ namespace, name: 'typed', body: { ...made, data: { color: 'red' } } });
    assert.deepEqual(replaced.data, { color: 'red' });
    await core.deleteNamespacedConfigMap({ namespace, name: 'typed' });
    await assert.rejects(core.readNamespacedConfigMap({ namespace, name: 'typed' }), (error) => error.code === 404);
  },
  'a status is an error with a code': async () => {
    await assert.rejects(core.createNamespacedConfigMap({ namespace, body: settings('No_Name', 'x') }), (error) =>
      error.code === 422 && JSON.parse(error.body).reason === 'Invalid');
  },
  'list in chunks': async () => {
    for (const name of ['a', 'b', 'c']) await core.createNamespacedConfigMap({ namespace, body: settings(`chunk-${name}`, name) });
    const found = [];
    let _continue;
    do {
      const list = await core.listNamespacedConfigMap({ namespace, labelSelector: 'from=node', limit: 2, _continue });
      assert.ok(list.items.length <= 2);
      found.push(...list.items);
      _continue = list.metadata._continue;
    } while (_continue);
    assert.deepEqual(found.map((item) => item.data.color), ['a', 'b', 'c']);
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'from=node' });
  },
  'patch in each of four forms': async () => {
    await core.createNamespacedConfigMap({ namespace, body: settings('patched', 'blue') });
    const patch = async (form, body, more = {}) => (await core.patchNamespacedConfigMap(
      { namespace, name: 'patched', body, ...more }, k8s.setHeaderOptions('Content-Type', form))).data;
    const { JsonPatch, MergePatch, StrategicMergePatch, ServerSideApply } = k8s.PatchStrategy;
    assert.equal((await patch(JsonPatch, [{ op: 'replace', path: '/data/color', value: 'red' }])).color, 'red');
    assert.equal((await patch(MergePatch, { data: { color: 'green' } })).color, 'green');
    assert.equal((await patch(StrategicMergePatch, { data: { size: 'big' } })).size, 'big');
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'patched' }, data: { shape: 'round' } };
    assert.deepEqual(await patch(ServerSideApply, applied, { fieldManager: 'node' }), { color: 'green', size: 'big', shape: 'round' });
  },
  'server-side apply of a deployment twice': async () => {
    const labels = { app: 'applied' };
    const body = {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'applied' },
      spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'main', image }] } } },
    };
    const apply = () => apps.patchNamespacedDeployment({ namespace, name: 'applied', body, fieldManager: 'node', force: true },
      k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.ServerSideApply));
    await apply();
    const second = await apply();
    assert.equal(second.spec.replicas, 0);
    assert.ok(second.metadata.managedFields.some(({ manager, operation }) => manager === 'node' && operation === 'Apply'));
  },
  'scale by the subresource': async () => {
    const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'applied' });
    // Its controller writes to the deployment, too: no revision is insisted on.
    delete scale.metadata.resourceVersion;
    const answer = await apps.replaceNamespacedDeploymentScale({ namespace, name: 'applied', body: { ...scale, spec: { replicas: 1 } } });
    assert.equal(answer.spec.replicas, 1);
  },
  'generic objects': async () => {
    const client = k8s.KubernetesObjectApi.makeApiClient(config);
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: 'generic' }, data: { color: 'blue' } };
    await client.create(object);
    const patched = await client.patch({ ...object, data: { color: 'red' } }, undefined, undefined, undefined, undefined, k8s.PatchStrategy.MergePatch);
    assert.equal(patched.data.color, 'red');
    assert.equal((await client.read(object)).data.color, 'red');
    assert.ok((await client.list('v1', 'ConfigMap', namespace)).items.length > 0);
    await client.delete(object);
  },
  'watch': async () => {
    const events = [];
    const [done, keep] = promised('three events');
    const { metadata: { resourceVersion } } = await core.listNamespacedConfigMap({ namespace });
    const watching = await new k8s.Watch(config).watch(
      `/api/v1/namespaces/${namespace}/configmaps`, { resourceVersion, allowWatchBookmarks: true },
      (type, object) => { if (object.metadata.name === 'watched' && events.push(type) === 3) keep(); }, () => {});
    const made = await core.createNamespacedConfigMap({ namespace, body: settings('watched', 'blue') });
    await core.replaceNamespacedConfigMap({ namespace, name: 'watched', body: { ...made, data: {} } });
    await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
    await done;
    watching.abort();
    assert.deepEqual(events, ['ADDED', 'MODIFIED', 'DELETED']);
  },
  'informer': async () => {
    const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'from=node' });
    const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, 'from=node');
    const seen = [];
    const [done, keep] = promised('add, update and delete');
    const note = (what) => (object) => { if (object.metadata.name === 'informed' && seen.push(what) === 3) keep(); };
    for (const what of ['add', 'update', 'delete']) informer.on(what, note(what));
    informer.on('error', (error) => seen.push(`error ${error}`));
    await informer.start();
    const made = await core.createNamespacedConfigMap({ namespace, body: settings('informed', 'blue') });
    await core.replaceNamespacedConfigMap({ namespace, name: 'informed', body: { ...made, data: {} } });
    await core.deleteNamespacedConfigMap({ namespace, name: 'informed' });
    await done;
    assert.deepEqual(seen, ['add', 'update', 'delete']);
    await informer.stop();
  },
  'exec with stdin': async () => {
    const out = new PassThrough();
    const read = text(out);
    const input = new PassThrough();
    const [done, keep] = promised('the status');
    await new k8s.Exec(config).exec(namespace, 'box', 'main', ['head', '-1'], out, null, input, false, keep);
    input.end('hello\n');
    assert.equal((await done).status, 'Success');
    assert.equal(read(), 'hello\n');
  },
  'exec tells the exit code': async () => {
    const [done, keep] = promised('the status');
    const out = new PassThrough();
    await new k8s.Exec(config).exec(namespace, 'box', 'main', ['sh', '-c', 'exit 7'], out, null, null, false, keep);
    assert.deepEqual((await done).details.causes, [{ reason: 'ExitCode', message: '7' }]);
  },
  'logs': async () => {
    const out = new PassThrough();
    const read = text(out);
    const [done, keep] = promised('a line');
    out.on('data', keep);
    const following = await new k8s.Log(config).log(namespace, 'box', 'main', out, { follow: true });
    await done;
    following.abort();
    assert.match(read(), /^began/);
  },
  'attach': async () => {
    const out = new PassThrough();
    const read = text(out);
    const [done, keep] = promised('a line');
    out.on('data', keep);
    const socket = await new k8s.Attach(config).attach(namespace, 'box', 'main', out, null, null, false);
    await done;
    socket.close();
    assert.match(read(), /tick/);
  },
  'port-forward': async () => {
    const input = new PassThrough();
    const out = new PassThrough();
    const read = text(out);
    const [done, keep] = promised('an answer');
    out.on('data', keep);
    const socket = await new k8s.PortForward(config).portForward(namespace, 'box', [8080], out, null, input);
    input.write('GET / HTTP/1.0\r\n\r\n');
    await done;
    (typeof socket === 'function' ? socket() : socket).close();
    assert.match(read(), /^HTTP\/1\.[01] /);
  },
  'top of nodes': async () => { await k8s.topNodes(core); },
  'version and API groups': async () => {
    const { major, minor } = await config.makeApiClient(k8s.VersionApi).getCode();
    assert.equal(`${major}.${minor}`, '1.36');
    assert.ok((await config.makeApiClient(k8s.ApisApi).getAPIVersions()).groups.length > 10);
  },
  'may I': async () => {
    const body = { spec: { resourceAttributes: { verb: 'create', resource: 'pods', namespace } } };
    const review = await config.makeApiClient(k8s.AuthorizationV1Api).createSelfSubjectAccessReview({ body });
    assert.equal(review.status.allowed, true);
  },
};

await core.createNamespace({ body: { metadata: { name: namespace } } });
const command = ['sh', '-c', 'httpd -p 8080 -h /tmp; echo began; while sleep 0.2; do echo tick; done'];
for (;;) {
  try {
    await core.createNamespacedPod({ namespace, body: { metadata: { name: 'box' }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image, command }] } } });
    break;
  } catch (error) {
    // The namespace's account comes a moment after the namespace.
    if (error.code !== 403) throw error;
  }
}
await ready('box');
for (const [name, call] of Object.entries(calls)) {
  try {
    await call();
    console.log(`passed ${name}`);
  } catch (error) {
    console.log(`failed ${name}: ${String(error?.body ?? error?.message ?? error).split('\n').slice(0, 3).join(' ')}`);
  }
}
await core.deleteNamespace({ name: namespace });
process.exit(0);
