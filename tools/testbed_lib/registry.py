"""Image registries beside a testbed's peers, at its switch: Debian's `docker-registry`, with TLS and
a login, and one of our own that behaves as badly as it is told to.

    with Registry(cluster, login=("ann", "secret")) as registry:
        registry.push("team/hello", "1", archive)       what tools/make-image --format oci wrote
        peer.consort("image", "pull", registry.name("team/hello:1"))
"""

import base64
import ctypes
import hashlib
import http.client
import io
import json
import random
import re
import shutil
import ssl
import subprocess
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from .network import SWITCH_ADDRESS, inside
from .testbed import TOP

START_WAIT_S = 20
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def bcrypt(password):
    """As htpasswd files have it. (Python's own `crypt` is gone in 3.13.)"""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), b"$2b$04$" + b"consort.test.salt.1234").decode()


def read_archive(path):
    """(manifest, {digest: bytes}) of an OCI archive with one image."""
    with tarfile.open(path) as tar:
        files = {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}
    digest = json.loads(files["index.json"])["manifests"][0]["digest"]
    blobs = {name.removeprefix("blobs/").replace("/", ":"): data for name, data in files.items()
             if name.startswith("blobs/")}
    return blobs.pop(digest), blobs


def noise_archive(path, seed, layers, layer_mb):
    """An OCI archive of bytes that don't compress, over examples/hello's files."""
    base = path.with_suffix(".base")
    subprocess.run([TOP / "tools/make-image", "--format", "oci", TOP / "examples/hello/image", base, "hello:1", "--", "/bin/web"],
                   check=True, capture_output=True)
    with tarfile.open(base) as tar:
        files = {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}
    index = json.loads(files["index.json"])

    def blob(digest):
        return f"blobs/sha256/{digest.partition(':')[2]}"

    def put(data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        files[blob(digest)] = data
        return {"digest": digest, "size": len(data)}

    manifest = json.loads(files[blob(index["manifests"][0]["digest"])])
    config = json.loads(files[blob(manifest["config"]["digest"])])
    noise = random.Random(seed)
    for number in range(layers):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            entry = tarfile.TarInfo(f"data/{number}")
            entry.size = layer_mb << 20
            tar.addfile(entry, io.BytesIO(noise.randbytes(entry.size)))
        layer = put(data.getvalue())
        manifest["layers"].append({"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer})
        config["rootfs"]["diff_ids"].append(layer["digest"])
    config.pop("history", None)
    manifest["config"] |= put(json.dumps(config).encode())
    index["manifests"][0] |= put(json.dumps(manifest).encode())
    files["index.json"] = json.dumps(index).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


class Place:
    """Where a registry is, and who may log in there."""

    def __init__(self, cluster, port, login):
        self.cluster, self.port, self.login = cluster, port, login

    @property
    def host(self):
        return f"{SWITCH_ADDRESS}:{self.port}"

    def name(self, image):
        return f"{self.host}/{image}"

    @property
    def auth(self):
        """As `docker login` writes it."""
        return base64.b64encode(":".join(self.login).encode()).decode()


class Registry(Place):
    """Debian's registry, with a certificate of its own making and, perhaps, a login."""

    def __init__(self, cluster, port=5000, login=None):
        super().__init__(cluster, port, login)
        self.directory = cluster.directory / f"registry-{port}"
        self.certificate = self.directory / "certificate.pem"
        self.process = None

    def blobs_given(self):
        """The digest of each blob that it has sent whole, as often as it has: by its access log."""
        log = (self.directory / "log").read_text()
        return re.findall(r'"GET /v2/\S+/blobs/(sha256:[0-9a-f]{64}) HTTP/\S+" 200 ', log)

    def __enter__(self):
        self.directory.mkdir(parents=True)
        key = self.directory / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
                        "-out", self.certificate, "-subj", "/CN=registry", "-addext",
                        f"subjectAltName=IP:{SWITCH_ADDRESS}"], check=True, capture_output=True)
        config = {"version": 0.1, "log": {"level": "warn"},
                  "storage": {"filesystem": {"rootdirectory": str(self.directory / "data")}},
                  "http": {"addr": f"{SWITCH_ADDRESS}:{self.port}",
                           "tls": {"certificate": str(self.certificate), "key": str(key)}}}
        if self.login:
            name, password = self.login
            (self.directory / "htpasswd").write_text(f"{name}:{bcrypt(password)}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self.directory / "htpasswd")}}
        path = self.directory / "config.json"  # JSON is YAML
        path.write_text(json.dumps(config))
        with open(self.directory / "log", "w") as log:
            self.process = subprocess.Popen([*inside(self.cluster.network.switch), "docker-registry", "serve", path],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_WAIT_S
        while True:
            try:
                self._call("GET", "/v2/")
                return self
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"no registry: {(self.directory / 'log').read_text()[-2000:]}")
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _call(self, method, path, body=None, headers=None):
        return self.cluster.client.call(self._call_inside, method, path, body, headers or {})

    def _call_inside(self, method, path, body, headers):
        context = ssl.create_default_context(cafile=self.certificate)
        connection = http.client.HTTPSConnection(SWITCH_ADDRESS, self.port, context=context, timeout=10)
        if self.login:
            headers = {**headers, "Authorization": f"Basic {self.auth}"}
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            response.read()
            if response.status >= 400:
                raise RuntimeError(f"registry: {method} {path}: {response.status}")
            return response
        finally:
            connection.close()

    def push(self, repository, tag, archive):
        manifest, blobs = read_archive(archive)
        for digest, data in blobs.items():
            start = self._call("POST", f"/v2/{repository}/blobs/uploads/")
            at = urlsplit(start.headers["Location"])
            self._call("PUT", f"{at.path}?{at.query}&digest={digest}", data)
        self._call("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})


class BadRegistry(Place):
    """Speaks plain HTTP, gives tokens, and spoils what it is told to spoil:

    breaks      how many transfers of a blob end in the middle
    lies        a digest whose bytes are wrong
    redirects   blobs are elsewhere, where the token must not be shown
    busy        how many requests are answered with 429 first
    """

    def __init__(self, cluster, port=5001, breaks=0, lies="", redirects=False, busy=0, login=("ann", "secret")):
        super().__init__(cluster, port, login)
        self.breaks, self.lies, self.redirects, self.busy = breaks, lies, redirects, busy
        self.manifests, self.blobs = {}, {}
        self.seen = []  # (path, headers) of each request
        self.lock = threading.Lock()
        self.servers = []

    def put(self, repository, tag, archive):
        manifest, blobs = read_archive(archive)
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        self.manifests |= {f"{repository}:{tag}": manifest, f"{repository}:{digest}": manifest}
        self.blobs |= blobs
        return digest

    def __enter__(self):
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                registry.answer(self)

            def log_message(self, *_):
                pass

        for port in (self.port, self.port + 1):  # the second one is elsewhere
            server = self.cluster.client.call(ThreadingHTTPServer, (SWITCH_ADDRESS, port), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers.append(server)
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def answer(self, request):
        at = urlsplit(request.path)
        elsewhere = request.server is not self.servers[0]
        with self.lock:
            self.seen.append((request.path, dict(request.headers)))
            is_busy = self.busy > 0
            self.busy -= is_busy
        if is_busy:
            self.send(request, 429, b"too many", {"Retry-After": "1"})
        elif at.path == "/token":
            self.give_token(request, parse_qs(at.query))
        elif not elsewhere and request.headers["Authorization"] != "Bearer right":
            realm = f'Bearer realm="http://{self.host}/token",service="test",scope="repository:team/hello:pull"'
            self.send(request, 401, b"{}", {"WWW-Authenticate": realm})
        elif "/manifests/" in at.path:
            repository, _, tag = at.path.removeprefix("/v2/").partition("/manifests/")
            manifest = self.manifests.get(f"{repository}:{tag}")
            self.send(request, 200 if manifest else 404, manifest or b"{}", {"Content-Type": MANIFEST})
        elif self.redirects and not elsewhere:
            self.send(request, 307, b"", {"Location": f"http://{SWITCH_ADDRESS}:{self.port + 1}{request.path}"})
        else:
            self.give_blob(request, at.path.rpartition("/")[2])

    def give_token(self, request, query):
        wanted = f"Basic {self.auth}"
        good = request.headers["Authorization"] == wanted and query["service"] == ["test"]
        self.send(request, 200 if good else 401, json.dumps({"token": "right"} if good else {}).encode())

    def give_blob(self, request, digest):
        data = self.blobs.get(digest)
        if data is None:
            self.send(request, 404, b"{}")
            return
        if digest == self.lies:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int((request.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        with self.lock:
            breaks = self.breaks > 0 and len(data) > 65536
            self.breaks -= breaks
        rest = data[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(rest)))
        request.end_headers()
        request.wfile.write(rest[:len(rest) // 2] if breaks else rest)
        if breaks:
            request.wfile.flush()
            request.close_connection = True

    @staticmethod
    def send(request, status, body, headers=None):
        request.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
