"""Who may do what: projects, and keys of which only a digest is kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from aether.fabric.core.state import Key

SCOPES = {
    "admin": "everything, in every project",
    "write": "submit, cancel and read in one project",
    "read": "read in one project",
    "watch": "metrics and alarms",
    "infer": "ask models in one project",
}
PROJECT = re.compile(r"^[a-z0-9][a-z0-9-]{0,39}$")
_FORM = re.compile(r"^aek-([0-9a-z]{12})-[A-Za-z0-9_-]{43}$")
_NOBODY = hashlib.sha256(b"nobody").hexdigest()
LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # no letters that people take for one another


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. project: "" for an administrator of all."""

    key: str
    project: str
    scopes: frozenset[str]

    @property
    def admin(self) -> bool:
        """Whether every project is theirs."""
        return "admin" in self.scopes

    def may(self, scope: str) -> bool:
        """Whether a scope is given; who writes may read and ask models, an administrator may all."""
        return self.admin or scope in self.scopes or (scope in ("read", "infer") and "write" in self.scopes)

    def sees(self, project: str) -> bool:
        """Whether what belongs to a project exists for them."""
        return self.admin or project == self.project


def ident(prefix: str, length: int = 12) -> str:
    """A name that nobody can guess: 5 bits a letter."""
    return prefix + "".join(secrets.choice(LETTERS) for _ in range(length))


def new_key() -> tuple[str, str, str]:
    """A key's name, the secret itself, which is told once, and its digest, which is kept."""
    name = ident("", 12)
    secret = f"aek-{name}-{secrets.token_urlsafe(32)}"
    return name, secret, digest(secret)


def derived_key(root: bytes, whose: str, idempotency_key: str) -> tuple[str, str, str]:
    """The same as `new_key`, drawn from the fabric's own secret: a repeated request is told the same secret, and none is kept."""
    drawn = hmac.new(root, f"key\n{whose}\n{idempotency_key}".encode(), hashlib.sha512).digest()
    name = "".join(LETTERS[b % len(LETTERS)] for b in drawn[32:44])
    secret = f"aek-{name}-{base64.urlsafe_b64encode(drawn[:32]).decode().rstrip('=')}"
    return name, secret, digest(secret)


def digest(secret: str) -> str:
    """What is kept of a secret: its SHA-256. 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def valid(key: Key, time_s: float) -> bool:
    """Whether a key is neither revoked nor expired."""
    return key.revoked_s is None and (key.expires_s is None or time_s < key.expires_s)


def principal(keys: Mapping[str, Key], secret: str, time_s: float) -> Principal | None:
    """Whose secret this is; None for nobody's, an expired or a revoked one. Takes as long whether or not the key exists."""
    form = _FORM.match(secret)
    key = keys.get(form.group(1)) if form else None
    good = hmac.compare_digest(digest(secret), key.digest if key else _NOBODY)
    if not good or key is None or form is None or not valid(key, time_s):
        return None
    return Principal(form.group(1), key.project, frozenset(key.scopes))
