"""scripts/fetch-models.sh against a local server that answers like the Hugging Face hub: a first run, a second that
fetches nothing, transfers that break and go on, and a file that is not the one we know."""

import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

from program import SOURCE, require_model, skip

PREFIX = "/sentence-transformers/all-MiniLM-L6-v2/resolve/main/"


class Hub(http.server.ThreadingHTTPServer):
    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.requests, self.cut_at, self.flip = folder, [], None, False


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.server.folder / self.path.removeprefix(PREFIX)
        if not self.path.startswith(PREFIX) or not path.is_file():
            self.send_error(404)
            return
        data = bytearray(path.read_bytes())
        if self.server.flip and path.name == "model.safetensors":
            data[len(data) // 2] ^= 1
        begin = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        self.server.requests.append((path.name, begin))
        if begin >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        end = len(data)
        if self.server.cut_at and path.name == "model.safetensors":
            end = min(end, begin + self.server.cut_at)
        self.wfile.write(data[begin:end])


def fetch(hub, cache, status=0):
    # No package registry: what the hub does not give must not come from elsewhere in this test.
    environment = dict(os.environ, HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}", PENJING_CACHE=str(cache),
                       PIP_NO_INDEX="1", PIP_FIND_LINKS="", no_proxy="127.0.0.1", HF_HUB_OFFLINE="0")
    done = subprocess.run([str(SOURCE / "scripts" / "fetch-models.sh"), "minilm"], env=environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if (done.returncode == 0) != (status == 0):
        sys.exit(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def main():
    model = require_model("minilm")
    if subprocess.run(["curl", "--version"], capture_output=True).returncode != 0:
        skip("curl is not installed")
    hub = Hub(model)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    size = (model / "model.safetensors").stat().st_size
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        said = fetch(hub, work / "one")
        weights = work / "one" / "models" / "minilm" / "model.safetensors"
        if weights.read_bytes() != (model / "model.safetensors").read_bytes() or "checked: model.safetensors" not in said:
            sys.exit("the first run did not bring the model\n" + said)
        hub.requests.clear()
        fetch(hub, work / "one")
        if hub.requests:
            sys.exit(f"the second run asked for {hub.requests}")
        if sorted(p.name for p in (work / "one" / "models").iterdir()) != ["minilm"]:
            sys.exit("something beside the model was left")

        hub.cut_at = size // 3 + 1
        fetch(hub, work / "two")
        begins = [begin for name, begin in hub.requests if name == "model.safetensors"]
        print("broken transfers went on at", begins)
        if begins != [0, size // 3 + 1, 2 * (size // 3 + 1)]:
            sys.exit("a broken transfer did not go on where it stopped")
        hub.cut_at = None

        hub.flip = True
        said = fetch(hub, work / "three", status=1)
        if (work / "three" / "models" / "minilm").exists():
            sys.exit("a file with another checksum was used\n" + said)
        if any(p.is_file() for p in (work / "three" / "downloads").rglob("*")):
            sys.exit("the refused file was kept")
        hub.flip = False
    hub.shutdown()


if __name__ == "__main__":
    main()
