"""OCI archives of images whose layers stand as tar files."""

import hashlib
import io
import json
import platform
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
ARCHITECTURE = ARCHITECTURES.get(platform.machine(), platform.machine())
CHUNK_BYTES = 1 << 20


def dump(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path):
    """Its digest; kept beside it, for layers are large and do not change."""
    note = path.with_suffix(".sha256")
    if not note.exists():
        found = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                found.update(chunk)
        note.write_text(found.hexdigest())
    return "sha256:" + note.read_text()


class Image:
    def __init__(self, name, definition, layers):
        self.name, self.tags, self.layers = name, list(definition["tags"]), layers
        self.config = dump({
            "created": "1970-01-01T00:00:00Z", "architecture": ARCHITECTURE, "os": "linux",
            "config": definition["config"],
            "rootfs": {"type": "layers", "diff_ids": [digest_of_file(layer) for layer in layers]}})
        self.manifest = dump({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": digest(self.config), "size": len(self.config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": digest_of_file(layer), "size": layer.stat().st_size} for layer in layers]})

    def layer_sizes(self):
        return [layer.stat().st_size for layer in self.layers]

    def descriptors(self):
        """What an index says of it, once for each tag."""
        return [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(self.manifest),
                 "size": len(self.manifest), "platform": {"os": "linux", "architecture": ARCHITECTURE},
                 "annotations": {"org.opencontainers.image.ref.name": f"{self.name}:{tag}"}}
                for tag in self.tags]


def write(output, images):
    written = set()
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as tar:
        def put(name, data):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))

        put("oci-layout", dump({"imageLayoutVersion": "1.0.0"}))
        put("index.json", dump({"schemaVersion": 2, "manifests":
                                [one for image in images for one in image.descriptors()]}))
        for image in images:
            for data in (image.config, image.manifest):
                put(f"blobs/sha256/{digest(data)[7:]}", data)
            for layer in image.layers:
                name = digest_of_file(layer)[7:]
                if name in written:
                    continue
                written.add(name)
                entry = tarfile.TarInfo(f"blobs/sha256/{name}")
                entry.size, entry.mode = layer.stat().st_size, 0o644
                with open(layer, "rb") as file:
                    tar.addfile(entry, file)
