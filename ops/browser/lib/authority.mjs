/** A certification authority of the test's own, the certificate that it gives to `localhost`, and a home whose browser trusts it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const DAYS = '2';

export class Authority {
  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'schulhof-authority-'));
    /** Folder with `cert.pem` and `key.pem`. */
    this.tls = join(this.dir, 'tls');
    /** For the environment of a browser. */
    this.home = join(this.dir, 'home');
    mkdirSync(this.tls);
    /** What it signs with, for whoever is to trust it. */
    this.certificate = join(this.dir, 'ca.pem');
    this.#issue();
    this.#trust();
  }

  #issue() {
    const openssl = (...args) => execFileSync('openssl', args, { cwd: this.dir, stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', DAYS, '-subj', '/CN=Schulhof test authority');
    openssl('req', ...key, '-keyout', join(this.tls, 'key.pem'), '-out', 'own.csr', '-subj', '/CN=localhost');
    writeFileSync(join(this.dir, 'own.ext'), 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n');
    const ca = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', DAYS, '-extfile', 'own.ext'];
    openssl('x509', '-req', '-in', 'own.csr', ...ca, '-out', join(this.tls, 'cert.pem'));
  }

  /** Where Chromium looks on Linux: NSS's store in its home. */
  #trust() {
    const store = join(this.home, '.pki', 'nssdb');
    mkdirSync(store, { recursive: true });
    const certutil = (...args) => execFileSync('certutil', ['-d', `sql:${store}`, ...args], { stdio: 'pipe' });
    certutil('-N', '--empty-password');
    certutil('-A', '-t', 'C,,', '-n', 'schulhof-test', '-i', this.certificate);
  }

  close() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
