"""Serve the login application on 127.0.0.1 with Waitress."""

from __future__ import annotations

import argparse
import sys

import waitress

from examples.login import create_app
from flask_fastsession import FastSessionInterface

HOST = "127.0.0.1"


def port_number(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=port_number, default=5000, help="0 takes any free port (default: %(default)s)")
    parser.add_argument("--stats", action="store_true", help="answer /stats with the counters of the session interface")
    arguments = parser.parse_args()

    sessions = FastSessionInterface()
    app = create_app(sessions)
    # For its inspector. Waitress has no debugger, so that nobody can run code here.
    app.debug = True
    if arguments.stats:
        app.add_url_rule("/stats", view_func=sessions.stats)
    try:
        server = waitress.create_server(app, host=HOST, port=arguments.port)
    except OSError as error:
        sys.exit(f"Cannot listen on {HOST}:{arguments.port}: {error}. Elsewhere: make serve PORT={arguments.port + 1}")
    print(f"Login application on http://{HOST}:{server.effective_port} (Ctrl-C stops it)", flush=True)
    server.run()


if __name__ == "__main__":
    main()
