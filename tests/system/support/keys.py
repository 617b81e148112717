"""Throw-away keys and certificates, made once a run with the openssl command."""

import base64
import hashlib
import subprocess

SUBJECT_NAMES = "DNS:localhost,DNS:server.muxsocks.test,DNS:www.muxsocks.test,IP:127.0.0.1,IP:::1"


class Keys:
    """Files in PEM, by attribute.

    ca: the authority of the server's certificate; cert, key: the server's; old_cert: the same key,
    expired; other_ca, other_cert, other_key: of nobody's trust; client_ca and client_cert,
    client_key: for mutual TLS; stranger_cert, stranger_key: a client of another authority.
    pin: the server key's SHA-256 in base64, as tls.pin_sha256 takes it. `server_certificate` makes
    more of them.
    """

    def __init__(self, folder):
        self.folder = folder
        self.ca, ca_key = self._authority("ca")
        self._ca_key = ca_key
        self.cert, self.key = self._certificate("server", self.ca, ca_key, SUBJECT_NAMES)
        self.old_cert = self._expired(self.ca, ca_key)
        self.other_ca, other_key = self._authority("other-ca")
        self.other_cert, self.other_key = self._certificate("other", self.other_ca, other_key,
                                                            SUBJECT_NAMES)
        self.client_ca, client_ca_key = self._authority("client-ca")
        self.client_cert, self.client_key = self._certificate("laptop", self.client_ca,
                                                              client_ca_key)
        self.stranger_cert, self.stranger_key = self._certificate("stranger", self.other_ca,
                                                                  other_key)
        self.pin = self._pin(self.key)
        self.other_pin = self._pin(self.other_key)

    def server_certificate(self, name, days=30, issuer=None, more_names=0):
        """A new key and a certificate for it, for the names of the server and so many more (30
        bytes each), of `ca` or of the authority `issuer` (certificate, key); the paths of
        certificate and key."""
        ca, ca_key = issuer or (self.ca, self._ca_key)
        more = "".join(f",DNS:number-{i:03}.large.muxsocks.test" for i in range(more_names))
        return self._certificate(name, ca, ca_key, SUBJECT_NAMES + more, days)

    def intermediate(self, name):
        """An authority below `ca`; the paths of its certificate and key."""
        return self._signed(name, self.ca, self._ca_key, 30, "basicConstraints=critical,CA:TRUE\n"
                            "keyUsage=critical,keyCertSign\n")

    def _run(self, *arguments, text=None):
        return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True,
                              cwd=self.folder, input=text).stdout

    def _new_key(self, name):
        path = self.folder / f"{name}.key"
        self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        path.chmod(0o600)
        return path

    def _authority(self, name):
        key, cert = self._new_key(name), self.folder / f"{name}.pem"
        self._run("req", "-x509", "-new", "-key", key, "-subj", f"/CN=test {name}", "-days", "30",
                  "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                  "keyUsage=critical,keyCertSign", "-out", cert)
        return cert, key

    def _certificate(self, name, ca, ca_key, subject_names=None, days=30):
        usage = "serverAuth" if subject_names else "clientAuth"
        extensions = f"extendedKeyUsage={usage}\n"
        if subject_names:
            extensions += f"subjectAltName={subject_names}\n"
        return self._signed(name, ca, ca_key, days, extensions)

    def _signed(self, name, ca, ca_key, days, extensions):
        key, cert = self._new_key(name), self.folder / f"{name}.pem"
        request, extension_file = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        self._run("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        extension_file.write_text(extensions)
        self._run("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-days", days,
                  "-extfile", extension_file, "-out", cert)
        return cert, key

    def _expired(self, ca, ca_key):
        cert = self.folder / "old.pem"
        (self.folder / "index.txt").write_text("")
        (self.folder / "old.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n"
            "default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n[names]\n"
            f"subjectAltName={SUBJECT_NAMES}\nextendedKeyUsage=serverAuth\n")
        self._run("ca", "-batch", "-notext", "-config", "old.cnf", "-cert", ca, "-keyfile", ca_key,
                  "-in", "server.csr", "-startdate", "200101000000Z", "-enddate", "200102000000Z",
                  "-extensions", "names", "-out", cert)
        return cert

    def _pin(self, key):
        public = self._run("pkey", "-in", key, "-pubout", "-outform", "DER")
        return base64.b64encode(hashlib.sha256(public).digest()).decode()
