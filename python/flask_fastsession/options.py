"""What :class:`~flask_fastsession.FastSessionInterface` does beyond Flask, where it is asked to."""

from __future__ import annotations

import hmac
import sys
import time
import typing as t
import warnings
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from dataclasses import replace
from datetime import timedelta

import itsdangerous
from werkzeug.utils import cached_property

from . import encrypted
from . import signing
from ._native import NativePolicies

if t.TYPE_CHECKING:
    from flask import Request
    from flask import Response
    from flask.sessions import SecureCookieSession
    from flask.sessions import SessionMixin

    from .revocations import Revocations

#: The key under which a session with an absolute lifetime stores when it began, in whole seconds since 1970.
CREATED = "_created"


class SessionTooLargeError(ValueError):
    """A session's cookie is larger than browsers accept, and the app has set ``oversize="raise"``."""


#: What the config may say for true and false; text comes from the environment.
BOOLS = {True: True, False: False, "true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


@dataclass(frozen=True)
class Policies:
    """The options that mean the same for sessions in cookies and on the server. ``None`` is one that is not given.

    Each is an argument, or a setting: ``SESSION_`` and its name in capitals.
    """

    skip: Callable[[Request], object] | None = None
    #: Seconds.
    refresh_after: float | None = None
    #: Returns seconds, a timedelta or ``None``.
    lifetime: Callable[[SessionMixin], float | timedelta | None] | None = None
    on_refused: Callable[[Request, str], object] | None = None
    delete_refused: bool | None = None
    accept_any: bool | None = None
    native: NativePolicies = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        native = NativePolicies(bool(self.accept_any), self.refresh_after, self.keeps_time)
        object.__setattr__(self, "native", native)

    @cached_property
    def keeps_time(self) -> bool:
        """Whether sessions are to know when their cookie was signed."""
        return self.refresh_after is not None or self.lifetime is not None

    @property
    def need_python(self) -> bool:
        """Whether any is given that native code does not see to by itself."""
        return (self.skip, self.lifetime, self.on_refused) != (None, None, None) or bool(self.delete_refused)

    @classmethod
    def given(cls, arguments: Mapping[str, t.Any], names: Callable[[str], str] = str) -> Policies:
        """Check what is given by the names of the fields; raise :exc:`ValueError` by the ``names`` that users know."""
        checked = {}
        for each in fields(cls):
            value = arguments.get(each.name)
            if value is not None:
                checked[each.name] = CHECKS[each.name](names(each.name), value)
        return cls(**checked)

    def or_else(self, others: Policies) -> Policies:
        """Return these, and the others where these say nothing."""
        mine = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return replace(others, **{name: value for name, value in mine.items() if value is not None})


NO_POLICIES = Policies()


def seconds_in(name: str, value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= sys.float_info.max:
        raise ValueError(f"{name} must be a timedelta or a finite number of seconds above 0, not {value!r}")
    return seconds


def callable_in(name: str, value: object) -> t.Any:
    if not callable(value):
        raise ValueError(f"{name} must be a callable, not {value!r}")
    return value


def bool_in(name: str, value: object) -> bool:
    # Any text is true to Python, "false" from the environment as well.
    found = BOOLS.get(value.lower() if isinstance(value, str) else value) if isinstance(value, (str, int)) else None
    if found is None:
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return found


CHECKS: dict[str, Callable[[str, t.Any], t.Any]] = {
    "skip": callable_in,
    "refresh_after": seconds_in,
    "lifetime": callable_in,
    "on_refused": callable_in,
    "delete_refused": bool_in,
    "accept_any": bool_in,
}


def setting_of(name: str) -> str:
    """Return the name that an argument has in the config."""
    return f"SESSION_{name.upper()}"


def policies_in(config: Mapping[str, t.Any]) -> Policies:
    """Return what a config says; raise :exc:`ValueError`."""
    return Policies.given({name: config.get(setting_of(name)) for name in CHECKS}, setting_of)


@dataclass(frozen=True)
class Options:
    """What is beyond Flask. Without an argument, nothing is."""

    accept_digest_methods: tuple[t.Any, ...] = ()
    resign_fallbacks: bool = False
    absolute_lifetime: float | None = None
    leeway: int = 0
    oversize: t.Literal["warn", "raise"] | Callable[[SessionMixin, Response, int], object] = field(default="warn")
    encrypt: bool = False
    accept_signed: bool = False
    accept_encrypted: bool = False
    compress: bool = False
    policies: Policies = NO_POLICIES
    revocations: Revocations | None = None

    def with_config(self, config: Mapping[str, t.Any]) -> Options:
        """Return these, and what the config says where no argument does; raise :exc:`ValueError`."""
        lifetime, name = self.absolute_lifetime, "SESSION_ABSOLUTE_LIFETIME"
        if lifetime is None and config.get(name) is not None:
            lifetime = seconds_in(name, config[name])
        options = replace(self, absolute_lifetime=lifetime, policies=self.policies.or_else(policies_in(config)))
        return DEFAULTS if options == DEFAULTS else options

    def __post_init__(self) -> None:
        if type(self.leeway) is not int or self.leeway < 0:
            raise ValueError(f"leeway must be a number of whole seconds, 0 or more, not {self.leeway!r}")
        if self.oversize not in ("warn", "raise") and not callable(self.oversize):
            raise ValueError(f'oversize must be "warn", "raise" or a callable, not {self.oversize!r}')
        for name in ("resign_fallbacks", "encrypt", "accept_signed", "accept_encrypted", "compress"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be True or False, not {getattr(self, name)!r}")
        self._check_encryption()
        if self.revocations is not None:
            from .revocations import Revocations

            if not isinstance(self.revocations, Revocations):
                raise ValueError(
                    "revocations must be a flask_fastsession.Revocations, such as Revocations(path), "
                    f"not {self.revocations!r}"
                )

    def _check_encryption(self) -> None:
        if self.accept_signed and not self.encrypt:
            raise ValueError("accept_signed is for encrypt=True: without it cookies are signed anyway")
        if self.compress and not self.encrypt:
            raise ValueError("compress is for encrypt=True: signed cookies are compressed as Flask does it")

    # Werkzeug's has no lock, which a thread would hold as another one forks: until 3.12, that of functools has one.
    @cached_property
    def need_python(self) -> bool:
        """Whether there are options that native code does not see to by itself."""
        others = {field.name for field in fields(self)} - NATIVE_OPTIONS
        asks_whose = self.revocations is not None and self.revocations.user_of is not None
        return (
            asks_whose
            or self.policies.need_python
            or any(getattr(self, name) != getattr(DEFAULTS, name) for name in others)
        )

    @cached_property
    def defer_to_python(self) -> bool:
        """Whether native code may leave a request to Python code that it has not declined."""
        return self.need_python or self.revocations is not None

    @property
    def reads_encrypted(self) -> bool:
        return self.encrypt or self.accept_encrypted

    def is_expired(self, session: SecureCookieSession) -> bool:
        """Whether a session is at the end of its absolute lifetime. One that does not say when it began begins now."""
        if self.absolute_lifetime is None or not session or not isinstance(session, dict):
            return False
        created = dict.get(session, CREATED)
        if isinstance(created, int):
            return time.time() >= created + self.absolute_lifetime
        session[CREATED] = int(time.time())
        return False

    def stamp(self, session: SessionMixin) -> None:
        """Have a session that begins say when. One that says nothing else any more is empty."""
        if self.absolute_lifetime is None or not isinstance(session, dict) or not session.modified:
            return
        if session.keys() == {CREATED}:
            dict.clear(session)
        elif session:
            dict.setdefault(session, CREATED, int(time.time()))

    @cached_property
    def _said(self) -> set[str]:
        """The warnings that were given, each once for an app."""
        return set()

    def warn_of(self, serializer: object) -> None:
        """Warn, once, of options that an app's own serializer lets do little or nothing."""
        if self.leeway and not tells_times(serializer):
            self._warn_once(
                "leeway= only lengthens max_age here: get_signing_serializer() returns "
                f"{type(serializer).__name__}, which judges by itself what was signed in the future"
            )
        if self.resign_fallbacks and not isinstance(
            serializer, itsdangerous.Serializer | signing.EncryptedSerializer | encrypted.SignedOrEncryptedSerializer
        ):
            self._warn_once(
                "resign_fallbacks= does nothing here: get_signing_serializer() returns "
                f"{type(serializer).__name__}, which does not tell by which key a cookie was signed"
            )

    def warn_of_time(self, is_known: bool) -> None:
        """Warn, once, of options that need to know when a cookie was signed, where that is not known."""
        names = [f"{name}=" for name in ("refresh_after", "lifetime") if getattr(self.policies, name) is not None]
        if names and not is_known:
            self._warn_once(f"{' and '.join(names)} cannot apply here: it is not known when the cookie was signed")

    def warn_of_readable(self, serializer: object, token: t.Any) -> None:
        """Warn, once, of a cookie that anybody can read although it should be encrypted."""
        if self.encrypt and not isinstance(serializer, signing.EncryptedSerializer) and is_readable(token):
            self._warn_once(
                "encrypt= does nothing here: get_signing_serializer() returns "
                f"{type(serializer).__name__}, which does not encrypt, so that visitors can read their sessions"
            )

    def _warn_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            warnings.warn(text, RuntimeWarning, stacklevel=5)

    def read(self, serializer: t.Any, token: str, max_age: int) -> tuple[t.Any, tuple[bytes, bytes] | None]:
        """Return the data of a token, and the payload and the text it was read from where they are known.

        Raise :exc:`itsdangerous.BadSignature` for a token that is forged, or older than ``max_age`` seconds.
        """
        if not self.leeway:
            if signing.is_native(serializer, "loads"):
                return serializer._loads_session_data(token, max_age)  # type: ignore[no-any-return]
            return serializer.loads(token, max_age=max_age), None
        if not tells_times(serializer):
            return serializer.loads(token, max_age=max_age + self.leeway), None
        data, signed_at = serializer.loads(token, return_timestamp=True)
        age = age_in_seconds(signed_at)
        if not -self.leeway <= age <= max_age + self.leeway:
            text = f"Signature age {age} is not within {max_age} seconds"
            raise itsdangerous.SignatureExpired(text, date_signed=signed_at)
        return data, None

    def resign(self, session: SecureCookieSession, serializer: t.Any, token: str) -> None:
        """Mark a session as modified that was not signed as it would be signed now."""
        if not session:
            return
        if isinstance(serializer, signing.EncryptedSerializer | encrypted.SignedOrEncryptedSerializer):
            if not serializer._is_current(token):
                session.modified = True
            return
        if not isinstance(serializer, itsdangerous.Serializer):
            return
        signer = serializer.make_signer(serializer.salt)
        signer.secret_keys = signer.secret_keys[-1:]
        if not signer.validate(token):
            session.modified = True

    def cookies_of(self, response: Response) -> list[str]:
        """Return the Set-Cookie headers of a response, if sizes are to be checked."""
        return [] if self.oversize == "warn" else response.headers.getlist("Set-Cookie")

    def check_size(self, known: list[str], session: SessionMixin, response: Response) -> None:
        """Act on a cookie that is too large, by whatever name it was set; Werkzeug has warned of it already."""
        if self.oversize == "warn":
            return
        limit = response.max_cookie_size
        if not limit:
            return
        lines = response.headers.getlist("Set-Cookie")
        size = max((len(line) for line in lines[len(known) :]), default=0)
        if size <= limit:
            return
        if self.oversize == "raise":
            # The response may be sent all the same, by a handler of the error.
            response.headers.setlist("Set-Cookie", known)
            raise SessionTooLargeError(f"the session cookie has {size} bytes, and browsers take {limit}")
        self.oversize(session, response, size)


#: The methods ``loads`` that tell when a token was signed.
TELL_TIMES = (
    itsdangerous.TimedSerializer.loads,
    signing.URLSafeTimedSerializer.loads,
    signing.EncryptedSerializer.loads,
    encrypted.EncryptedOrSignedSerializer.loads,
    encrypted.SignedOrEncryptedSerializer.loads,
)


def is_readable(token: t.Any) -> bool:
    """Whether a token holds JSON that needs no key to be read, as itsdangerous and Flask write it."""
    with suppress(Exception):
        text = itsdangerous.want_bytes(token)
        end = text.find(b".", 1)
        itsdangerous.URLSafeSerializer("").load_payload(text if end < 0 else text[:end])
        return True
    return False


def tells_times(serializer: object) -> bool:
    return getattr(type(serializer), "loads", None) in TELL_TIMES


DEFAULTS = Options()

#: What native code reads from the options when it looks at an app for the first time.
NATIVE_OPTIONS = {
    "accept_digest_methods",
    "resign_fallbacks",
    "leeway",
    "encrypt",
    "accept_signed",
    "accept_encrypted",
    "policies",
    "revocations",
    "compress",
}


def digests_in(name: str, given: t.Any) -> tuple[t.Any, ...]:
    """Return digests, callables or names, as :class:`itsdangerous.Signer` takes them; raise :exc:`ValueError`."""
    try:
        digests = tuple(given)
        for digest in digests:
            hmac.new(b"", digestmod=digest)
    except Exception:
        if name.endswith("s"):
            raise ValueError(f"{name} must be an iterable of available hashlib digests, not {given!r}") from None
        raise ValueError(f"{name} must be an available hashlib digest, not {given[0]!r}") from None
    return digests


def age_in_seconds(signed_at: t.Any) -> int:
    return int(time.time()) - int(signed_at.timestamp())
