"""A bucket for tests, in memory: what gcsfs and TensorStore use of the JSON interface to Google's storage.

The emulator on PyPI would do but for two things: it ignores the condition `ifGenerationMatch`, on which
claims rest, and it does not run beside a recent setuptools.

Source: cloud.google.com/storage/docs/json_api/v1.
"""

import base64
import contextlib
import dataclasses
import datetime
import hashlib
import http.server
import json
import re
import secrets
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import google_crc32c

NAME = "bucket"
_OBJECT = re.compile(rf"/(?:download/)?storage/v1/b/{NAME}/o/(.+)")
_PART = re.compile(rb"\r?\n\r?\n")


@dataclasses.dataclass
class Bucket:
    """What lies in the bucket, and which requests came.

    Args:
        url: where it is reached.
        objects: name -> (content, generation, time of change).
        requests: method and path of every request, oldest first.
        parts: what came so far of large objects.
        refuse: answer everything with 403.
    """

    url: str = ""
    objects: dict[str, tuple[bytes, int, datetime.datetime]] = dataclasses.field(default_factory=dict)
    requests: list[str] = dataclasses.field(default_factory=list)
    refuse: bool = False
    parts: dict[str, bytes] = dataclasses.field(default_factory=dict)
    lock: Any = dataclasses.field(default_factory=threading.RLock)
    made: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What tells gcsfs and TensorStore to come here."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "TENSORSTORE_GCS_HTTP_URL": self.url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
            "NO_GCE_CHECK": "true",  # nobody need look for a machine of Google's that could say who we are
        }

    def clear(self) -> None:
        """Make it as new."""
        self.objects.clear()
        self.requests.clear()
        self.refuse = False

    def put(self, name: str, data: bytes, query: dict[str, str]) -> dict[str, Any] | None:
        """Write an object, unless its generation is not the wanted one: then return None."""
        with self.lock:
            now = self.objects[name][1] if name in self.objects else 0
            if int(query.get("ifGenerationMatch", now)) != now:
                return None
            self.made += 1
            self.objects[name] = (data, self.made, datetime.datetime.now(datetime.UTC))
            return self.facts(name)

    def facts(self, name: str) -> dict[str, Any]:
        """What is told of an object."""
        data, generation, changed = self.objects[name]
        link = f"{self.url}/download/storage/v1/b/{NAME}/o/{urllib.parse.quote(name, safe='')}?alt=media"
        crc = google_crc32c.Checksum(data).digest()
        stamp = changed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "kind": "storage#object", "name": name, "bucket": NAME, "size": str(len(data)),
            "generation": str(generation), "metageneration": "1", "updated": stamp, "timeCreated": stamp,
            "crc32c": base64.b64encode(crc).decode(),
            "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode(),
            "contentType": "application/octet-stream", "storageClass": "STANDARD",
            "mediaLink": link,
        }  # fmt: skip

    def listed(self, query: dict[str, str]) -> dict[str, Any]:
        """Return the objects, or folders, that begin with a prefix; all on one page."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, folders = [], set()
        with self.lock:
            for name in sorted(self.objects):
                if not name.startswith(prefix) or name < query.get("startOffset", ""):
                    continue
                head, sign, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
                if sign:
                    folders.add(prefix + head + sign)
                else:
                    items.append(self.facts(name))
        most = int(query.get("maxResults", 1 << 30))
        return {"kind": "storage#objects", "items": items[:most], "prefixes": sorted(folders)[:most]}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, 1 << 16
    bucket: Bucket

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, code: int, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, code: int) -> None:
        self._answer(code, {"error": {"code": code, "message": http.HTTPStatus(code).phrase}})

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.bucket.requests.append(f"{self.command} {self.path}")
        if self.bucket.refuse:
            return self._refuse(403)
        parts = urllib.parse.urlsplit(self.path)
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(parts.query).items()}
        if parts.path.startswith(f"/upload/storage/v1/b/{NAME}/o"):
            return self._upload(body, query)
        if parts.path == f"/storage/v1/b/{NAME}":
            return self._answer(200, {"kind": "storage#bucket", "name": NAME})
        if parts.path.rstrip("/") == f"/storage/v1/b/{NAME}/o":
            return self._answer(200, self.bucket.listed(query))
        if found := _OBJECT.fullmatch(parts.path):
            return self._object(urllib.parse.unquote(found[1]), found[1], query)
        return self._refuse(404)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _any

    def _upload(self, body: bytes, query: dict[str, str]) -> None:
        kind = query.get("uploadType")
        if "upload_id" in query:
            return self._chunk(body, query)
        if kind == "resumable":
            path = urllib.parse.urlsplit(self.path).path
            more = urllib.parse.urlencode({**query, **json.loads(body), "upload_id": secrets.token_hex(8)})
            return self._answer(200, {}, Location=f"{self.bucket.url}{path}?{more}")
        if kind == "multipart":
            mark = b"--" + self.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
            _, facts, data = body.split(mark)[:3]
            query["name"] = json.loads(_PART.split(facts.strip(), maxsplit=1)[1])["name"]
            body = re.sub(rb"\r?\n\Z", b"", _PART.split(data.lstrip(), maxsplit=1)[1])
        made = self.bucket.put(query["name"], body, query)
        return self._answer(200, made) if made else self._refuse(412)

    def _chunk(self, body: bytes, query: dict[str, str]) -> None:
        """Take a part of a large object; the last one names the whole size."""
        body = self.bucket.parts.get(query["upload_id"], b"") + body
        if self.headers["Content-Range"].endswith("/*"):
            self.bucket.parts[query["upload_id"]] = body
            return self._answer(308, Range=f"bytes=0-{len(body) - 1}")
        self.bucket.parts.pop(query["upload_id"], None)
        made = self.bucket.put(query["name"], body, query)
        return self._answer(200, made) if made else self._refuse(412)

    def _object(self, name: str, quoted: str, query: dict[str, str]) -> None:
        if "/rewriteTo/" in quoted:
            source, _, target = quoted.partition(f"/rewriteTo/b/{NAME}/o/")
            data = self.bucket.objects[urllib.parse.unquote(source)][0]
            made = self.bucket.put(urllib.parse.unquote(target), data, query)
            return self._answer(200, {"done": True, "resource": made})
        with self.bucket.lock:
            if name not in self.bucket.objects:
                return self._refuse(404)
            data, generation, _ = self.bucket.objects[name]
            if self.command == "DELETE":
                del self.bucket.objects[name]
                return self._answer(204)
            facts = self.bucket.facts(name)
        if query.get("ifGenerationNotMatch") == str(generation):
            return self._answer(304)
        if query.get("alt") != "media":
            return self._answer(200, facts)
        told = {"x_goog_generation": str(generation), "x_goog_hash": f"crc32c={facts['crc32c']}"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self._answer(200, data, **told)
        first = int(wanted[1]) if wanted[1] else max(0, len(data) - int(wanted[2]))
        last = min(int(wanted[2]), len(data) - 1) if wanted[1] and wanted[2] else len(data) - 1
        if first > last:
            return self._refuse(416)
        return self._answer(
            206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **told
        )


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a client left: gcsfs asks two questions at once and takes the first answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serve() -> Iterator[Bucket]:
    """Serve an empty bucket on loopback."""
    bucket = Bucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    with _Server(("127.0.0.1", 0), handler) as server:
        bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield bucket
        finally:
            server.shutdown()
            thread.join()
