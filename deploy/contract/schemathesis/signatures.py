"""Receives real deliveries and verifies them with the official Standard Webhooks library for Python.

Arguments: the base address of a running Throughline, whose key is in THROUGHLINE_API_KEY. It ends with 1 where a delivery
does not come, does not verify, or verifies although something of it was changed.
"""

import http.server
import json
import os
import queue
import sys
import threading
import urllib.request

from standardwebhooks import Webhook, WebhookVerificationError

BASE = sys.argv[1]
ENDPOINT = "/v1/webhook-endpoints/python"
PATIENCE = 120

deliveries = queue.Queue()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        deliveries.put((dict(self.headers), body))

    def log_message(self, *args):
        pass


def ask(method, path, body=None):
    request = urllib.request.Request(BASE + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", "Bearer " + os.environ["THROUGHLINE_API_KEY"])
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def received(kind):
    headers, body = deliveries.get(timeout=PATIENCE)
    if json.loads(body)["type"] != kind:
        sys.exit(f"a delivery of {kind} was expected: {body}")
    return headers, body


def refused(secret, headers, body, why):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return
    sys.exit(f"a delivery was verified with {why}")


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {"url": f"http://127.0.0.1:{server.server_port}/", "events": ["event.linked"]}
    first = ask("PUT", ENDPOINT, settings)["signingSecret"]

    ask("PUT", "/v1/objects/CUSTOMER/python", {"name": "Ann"})
    event = {"objectType": "CUSTOMER", "objectId": "python", "id": "e1", "name": "Bought", "payload": {"text": "Ärger 📖 <b>&</b>"}}
    ask("POST", "/v1/events", event)
    headers, body = received("event.linked")
    if Webhook(first).verify(body, headers)["data"]["event"]["id"] != "e1":
        sys.exit(f"another event was told of: {body}")

    refused(first, headers, body.replace(b"Bought", b"Stolen"), "another body")
    refused(first, {**headers, "Webhook-Id": "msg_0"}, body, "another id")
    refused(first, {**headers, "Webhook-Timestamp": str(int(headers["Webhook-Timestamp"]) + 1)}, body, "another time")
    refused("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, body, "another secret")

    # During a rotation both secrets verify, and they are not the same.
    second = ask("POST", ENDPOINT + "/rotate-secret")["signingSecret"]
    ask("POST", ENDPOINT + "/test", {"type": "event.linked"})
    headers, body = received("event.linked")
    for secret in (first, second):
        Webhook(secret).verify(body, headers)
    if first == second or len(headers["Webhook-Signature"].split(" ")) != 2:
        sys.exit(f"there is no signature of each secret: {headers['Webhook-Signature']}")

    ask("DELETE", ENDPOINT)
    print("the Python library of Standard Webhooks verifies deliveries, and refuses what was changed")


main()
