"""Values that a schema cannot describe, for the formats of the document that JSON Schema does not know."""

import base64
import datetime
import json

import schemathesis
from hypothesis import strategies as st

_FIRST = datetime.datetime(1900, 1, 2)
_LAST = datetime.datetime(2025, 12, 31)

_times = st.datetimes(_FIRST, _LAST, timezones=st.just(datetime.timezone.utc))
_future = st.datetimes(datetime.datetime(2100, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.timezone.utc))
_words = st.lists(st.sampled_from(["article", "viewed", "bought", "Ärger", "42", "mail"]), min_size=1, max_size=4)

# Times of events lie between 1900 and tomorrow.
schemathesis.openapi.format("date-time", _times.map(datetime.datetime.isoformat))
schemathesis.openapi.format("epoch-milliseconds", _times.map(lambda t: str(int(t.timestamp() * 1000))))
# An API key ends in the future.
schemathesis.openapi.format("future-date-time", _future.map(datetime.datetime.isoformat))
schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]))
# A search has a word at least.
schemathesis.openapi.format("words", _words.map(" ".join))
# Webhooks go to names that nobody can have (RFC 2606).
_hosts = st.sampled_from(["crm.example", "a-b.shop.example", "127.0.0.1", "169.254.169.254"])
schemathesis.openapi.format("webhook-url", _hosts.map(lambda host: f"https://{host}/hooks?from=throughline"))
schemathesis.openapi.format("webhook-filter", st.sampled_from(['type == "event.linked"', 'data.event.name == "Bought"', "true", "1 + 1"]))
_secrets = st.binary(min_size=24, max_size=64).map(lambda b: "whsec_" + base64.b64encode(b).decode())
schemathesis.openapi.format("webhook-secret", _secrets)


@schemathesis.hook
def filter_query(context, query):
    """Leaves out cursors and positions: only the server can make them."""
    return not query or not ({"cursor", "position"} & set(query))


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    """Sends a text as it is, and anything else as one line."""
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace")
