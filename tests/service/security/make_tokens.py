"""Makes an issuer's keys and tokens with PyJWT, as JSON on stdout: {"jwks", "next_jwks", "good", "bad"}."""

import base64
import hashlib
import hmac
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = sys.argv[1:]
NOW = int(time.time())

KEYS = {
    "RS256": (rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
}
NEXT = ec.generate_private_key(ec.SECP256R1())


def jwk(key, kind, kid):
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


def claims(**changes):
    all_claims = {
        "iss": ISSUER,
        "aud": [AUDIENCE, "https://kubernetes.default.svc"],
        "sub": "system:serviceaccount:billing:cleaner",
        "exp": NOW + 3600,
        "iat": NOW,
        "nbf": NOW,
        "kubernetes.io": {"namespace": "billing", "serviceaccount": {"name": "cleaner"}},
        **changes,
    }
    return {name: value for name, value in all_claims.items() if value is not None}


def token(algorithm="ES256", key=None, headers=None, **changes):
    key = key or KEYS[algorithm][0]
    return jwt.encode(claims(**changes), key, algorithm, {"kid": algorithm, **(headers or {})})


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def confused():
    """Signed with HMAC, the RSA public key as the secret: what a naive verifier believes."""
    public = KEYS["RS256"][0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = base64url(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "RS256"}).encode())
    body = f"{header}.{base64url(json.dumps(claims()).encode())}"
    return f"{body}.{base64url(hmac.new(public, body.encode(), hashlib.sha256).digest())}"


good = token()
header, payload, signature = good.split(".")
admin = base64url(json.dumps(claims(sub="admin")).encode())
json.dump(
    {
        "jwks": {"keys": [jwk(key, kind, name) for name, (key, kind) in KEYS.items()]},
        "next_jwks": {"keys": [jwk(NEXT, ECAlgorithm, "next")]},
        "good": {**{name: token(name) for name in KEYS}, "typ JOSE": token(headers={"typ": "JOSE"})},
        "next": token(key=NEXT, headers={"kid": "next"}),
        "bad": {
            "expired": token(exp=NOW - 60),
            "not yet valid": token(nbf=NOW + 600),
            "other issuer": token(iss="https://elsewhere.example.org"),
            "other audience": token(aud="other"),
            "no issuer": token(iss=None),
            "no audience": token(aud=None),
            "no expiry": token(exp=None),
            "no subject": token(sub=None),
            "unknown key": token(headers={"kid": "unknown"}),
            "wrong key": token(key=NEXT),
            "no algorithm": jwt.encode(claims(), None, "none", {"kid": "ES256"}),
            "confused algorithm": confused(),
            "key of another algorithm": token("RS256", headers={"kid": "ES256"}),
            "critical extension": token(headers={"crit": ["exp"]}),
            "changed payload": f"{header}.{admin}.{signature}",
            # 5 of 342 characters fewer: a length that no base64url has, whatever the signature is.
            "cut": good[:-5],
            "no signature": f"{header}.{payload}.",
            "no token": "token",
            "large": token(filler="x" * 9000),
        },
    },
    sys.stdout,
)
