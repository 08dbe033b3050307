"""Documents from an https URL, served on loopback with a certificate of our own."""

import datetime as dt
import http.server
import ipaddress
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.spec_documents import document, encoded

from tools import spec
from tools.upstream import fetching
from tools.upstream.refusal import Refused

BODY = encoded(document())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = getattr(self, f"answer_{self.path.strip('/')}", None)
        if answer is None:
            self.send_error(404)
        else:
            answer()

    def answer_document(self):
        self.reply(200, BODY)

    def answer_redirected(self):
        self.reply(302, b"", Location="/document")

    def answer_downgraded(self):
        self.reply(302, b"", Location=f"http://127.0.0.1:{self.server.server_port}/document")

    def answer_encoded(self):
        self.reply(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"})

    def answer_cut(self):
        self.reply(200, BODY[:100], **{"Content-Length": str(len(BODY))})

    def answer_endless(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(fetching.LARGEST // 1_000_000 + 2):
            self.wfile.write(b"x" * 1_000_000)

    def reply(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client has heard enough

    def log_message(self, *arguments):
        pass


def certificate(folder):
    """A key and a certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "server.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """The address of an https server, and the certificate to trust."""
    path = certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", path
        server.shutdown()
        thread.join()


@pytest.fixture
def url(secure, monkeypatch):
    address, path = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return address


@pytest.mark.parametrize("path", ["document", "redirected"])
def test_a_document_is_fetched(path, url):
    assert fetching.fetch(f"{url}/{path}") == BODY


def test_the_command_takes_a_url(url, tmp_path):
    arguments = [
        "--output",
        str(tmp_path / "openapi.yaml"),
        "--overlay",
        str(tmp_path),
        "--tests",
        str(tmp_path),
    ]
    assert spec.main([f"{url}/document", *arguments]) == spec.CHANGED
    assert spec.main([f"{url}/document", *arguments]) == spec.UNCHANGED


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("missing", "answers 404"),
        ("downgraded", "not https"),
        ("encoded", "encoded body"),
        ("cut", "cannot be fetched"),
        ("endless", "larger than 32 MiB"),
    ],
)
def test_an_answer_that_is_no_document_is_refused(path, sentence, url):
    with pytest.raises(Refused, match=sentence):
        fetching.fetch(f"{url}/{path}")


def test_a_certificate_that_nobody_vouches_for_is_refused(secure):
    with pytest.raises(Refused, match="cannot be fetched"):
        fetching.fetch(f"{secure[0]}/document")


def test_a_document_that_drips_is_given_up(url, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", -1.0)
    with pytest.raises(Refused, match="did not finish"):
        fetching.fetch(f"{url}/document")
