"""Stands in for ClickHouse: answers pings, says when it ends, and remembers its starts in its data folder."""

import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def say(words):
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


data_dir, port = Path(sys.argv[1]), int(sys.argv[2])
data_dir.mkdir(parents=True, exist_ok=True)
with (data_dir / "starts").open("a") as starts:
    starts.write("start\n")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"Ok.\n")

    def log_message(self, *arguments):
        pass


def end(*_):
    say("clickhouse ends in order")
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
HTTPServer.allow_reuse_address = True
server = HTTPServer(("127.0.0.1", port), Handler)
say("clickhouse serves")
server.serve_forever()
