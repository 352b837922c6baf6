"""The dashboard's files, read once at the start: what is not among them cannot be asked for, whatever a path says."""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.problem import ProblemError

DIRECTORY: Final = Path(__file__).resolve().parents[1] / "static"
INDEX: Final = "index.html"
HASHED: Final = "assets/"
"""Files whose names change with what is in them: the build puts them here."""
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
NOT_BUILT: Final = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ETP gateway</title></head>
<body><h1>The gateway runs; its dashboard is not built.</h1>
<p>In a checkout, <code>cd dashboard &amp;&amp; npm ci &amp;&amp; npm run build</code> builds it; then restart the gateway.
Installed packages have it.</p>
<p>The API is described at <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p></body></html>
"""
TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is served."""

    body: bytes
    packed: bytes | None
    """By gzip, made when it was built."""
    kind: str
    etag: str
    cache: str


def _file(name: str, body: bytes, packed: bytes | None) -> File:
    suffix = Path(name).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    cache = FOR_EVER if name.startswith(HASHED) else ASK_AGAIN
    return File(body, packed, kind, f'"{sha256(body).hexdigest()[:32]}"', cache)


def read(directory: Path) -> dict[str, File]:
    """The files below a directory by their paths; just a page that says how to build them where there are none."""
    names = {
        path.relative_to(directory).as_posix(): path
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    files: dict[str, File] = {}
    for name, path in names.items():
        if name.endswith(".gz") and name[:-3] in names:
            continue
        packed = names.get(f"{name}.gz")
        files[name] = _file(name, path.read_bytes(), packed.read_bytes() if packed else None)
    if INDEX not in files:
        files[INDEX] = _file(INDEX, NOT_BUILT, None)
    return files


class Static:
    """Serves them. Paths of pages (`/batteries/101`) get the index: the dashboard reads its URL itself."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files

    def answer(self, request: Request, path: str) -> Response:
        """A file, or the index. Raises ProblemError: 404 for what can be neither."""
        name = path.strip("/")
        file = self._files.get(name)
        if file is None:
            if name.startswith((HASHED, "api/")) or "." in name.rpartition("/")[2]:
                raise ProblemError(404, f"there is no {path[:200]!r} here; the API is at /api/v1/openapi.json")
            file = self._files[INDEX]
        return _response(request, file)


def _response(request: Request, file: File) -> Response:
    headers = {"etag": file.etag, "cache-control": file.cache}
    if file.packed is not None:
        headers["vary"] = "Accept-Encoding"
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
    if file.packed is not None and "gzip" in accepted:
        return Response(file.packed, media_type=file.kind, headers=headers | {"content-encoding": "gzip"})
    return Response(file.body, media_type=file.kind, headers=headers)
