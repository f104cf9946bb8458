"""The quick look before the shapes of secrets leaves none of them out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.redact import NAMED, SHAPES, Redactor

FRAGMENTS = (
    "https://", "HTTP://", "tgram://", "user:pass-word", "@", "host.example/", "mailto:", "smtps:", "imap:",
    "/bot", "123456789:", "AAAAAAAAAAAAAAAAAAAAAAAAA", "/api/webhooks/", "/Webhook/",
    "hooks.slack.com/services/T0/B0",
    "Authorization: ", "authorization=", "Bearer ", "BASIC ", "abcdef0123456789", "eyJhbGciOi.J9abcd",
    "-----BEGIN PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "api_key=",
    "\"secret\": \"", "token: ", "'", "\"",
    " ", "\n", "=", ":", "/", "order", "localhost", "signature=ab12&", "{", "}",
)  # fmt: skip


def in_full(text: str) -> str:
    """Try every shape, whatever the text looks like."""
    for shape, replacement in (*SHAPES, *NAMED):
        text = shape.sub(replacement, text)
    return text


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=10).map("".join))
def test_nothing_is_left_that_a_shape_would_take(text: str) -> None:
    """Whatever the quick looks let pass, the patterns would have let pass."""
    assert Redactor()(text) == in_full(text)
