"""An S3 server (moto) for the tests: over TLS, with checked signatures and one user who may use one bucket.

Prints a line with its port; then, for each line of its input, how many uploads are half done; and ends with its input."""

import json
import subprocess
import sys
import threading
from urllib.parse import quote, unquote

import boto3
import requests
from moto.iam.access_control import IAMRequestBase
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

folder, bucket = sys.argv[1:]
allowed = ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject", "s3:AbortMultipartUpload"]


def request_as_sent(self, made=IAMRequestBase._create_aws_request):
    """moto checks a listing's signature against its query without the escapes with which it was sent and signed."""
    request = made(self)
    path, _, query = request.url.partition("?")
    fields = [field.partition("=") for field in query.split("&") if field]
    request.url = path + "?" + "&".join(name + "=" + quote(unquote(value), safe="-_.~") for name, _, value in fields)
    return request


IAMRequestBase._create_aws_request = request_as_sent


def run(*command):
    subprocess.run(command, check=True, cwd=folder, capture_output=True)


run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
    "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")
run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1",
    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1",
    "-copy_extensions", "copy", "-out", "server.pem")

app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=True,
                     ssl_context=(f"{folder}/server.pem", f"{folder}/server.key"))
threading.Thread(target=server.serve_forever, daemon=True).start()
address = dict(endpoint_url=f"https://127.0.0.1:{server.port}", verify=f"{folder}/ca.pem", region_name="us-east-1",
               aws_access_key_id="first", aws_secret_access_key="first")
boto3.client("s3", **address).create_bucket(Bucket=bucket)
iam = boto3.client("iam", **address)
iam.create_user(UserName="floe")
policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
iam.put_user_policy(UserName="floe", PolicyName="backups", PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName="floe")["AccessKey"]
with open(f"{folder}/credentials", "w") as file:
    file.write(f"[default]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n")
# From here on every request must be signed, and allowed.
boto3.client("s3", **address).list_buckets()
requests.post(f"https://127.0.0.1:{server.port}/moto-api/reset-auth", data="0", verify=f"{folder}/ca.pem")
print(server.port, flush=True)
for _ in sys.stdin:
    print(len(s3_backends["123456789012"]["aws"].buckets[bucket].multiparts), flush=True)
