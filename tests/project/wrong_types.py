"""Mistakes that type checkers find. Each line ends in a comment that they call unnecessary if they find none."""

from __future__ import annotations

from flask import Flask

import flask_fastsession
from flask_fastsession import FastSessionInterface
from flask_fastsession import ServerSesion  # type: ignore[attr-defined]  # noqa: F401
from flask_fastsession import ServerSession
from flask_fastsession import signing
from flask_fastsession.server import Store
from flask_fastsession.server.stats import ServerStats
from flask_fastsession.stats import SessionStats


def wrong_arguments(app: Flask) -> None:
    FastSessionInterface(leway=5)  # type: ignore[arg-type]
    FastSessionInterface(5)  # type: ignore[arg-type]
    FastSessionInterface(leeway="5")  # type: ignore[arg-type]
    FastSessionInterface(oversize="ignore")  # type: ignore[arg-type]
    FastSessionInterface(oversize=lambda session: None)  # type: ignore[arg-type]
    FastSessionInterface(digest_method=256)  # type: ignore[arg-type]
    FastSessionInterface(accept_digest_methods=None)  # type: ignore[arg-type]
    FastSessionInterface(absolute_lifetime="1 day")  # type: ignore[arg-type]
    ServerSession(app, store="redis")  # type: ignore[call-arg]
    ServerSession("shop")  # type: ignore[arg-type]


def wrong_names() -> None:
    flask_fastsession.Revocation("a path")  # type: ignore[attr-defined]


def wrong_signers(key: str) -> None:
    signing.Signer(key, slt="cookie")  # type: ignore[call-arg]
    signing.TimestampSigner(key, slt="cookie")  # type: ignore[call-arg]
    signing.Serializer(key, slt="cookie")  # type: ignore[call-overload]
    signing.URLSafeSerializer(key, slt="cookie")  # type: ignore[call-overload]
    signing.URLSafeTimedSerializer(key, slt="cookie")  # type: ignore[call-overload]


def wrong_counts(stats: SessionStats, server_stats: ServerStats) -> None:
    stats["opened"]  # type: ignore[typeddict-item]
    stats["open"]["rejected"]  # type: ignore[typeddict-item]
    stats["keys"]["fallbacks"]["0"]  # type: ignore[call-overload]
    server_stats["lost"]  # type: ignore[typeddict-item]


class HalfAStore:
    def load(self, key: str) -> bytes:
        return b""


a_store: Store = HalfAStore()  # type: ignore[assignment]
