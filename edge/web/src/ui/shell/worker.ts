/** Installs the service worker that keeps the page for when the box is dead. */

/** Named in the Content-Security-Policy (`edge/src/door/guard.rs`). */
const POLICY = 'schulhof-worker';
const SCRIPT = '/sw.js';

interface Factory {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): { createScriptURL(url: string): string };
}

export function keepShell(): void {
  // Only in a secure context; without it the page opens while the box is there, as before.
  if (!('serviceWorker' in navigator)) return;
  const { trustedTypes } = window as { trustedTypes?: Factory };
  const policy = trustedTypes?.createPolicy(POLICY, {
    createScriptURL: (url) => {
      if (url !== SCRIPT) throw new TypeError('not a worker of this page');
      return url;
    },
  });
  const url = policy ? policy.createScriptURL(SCRIPT) : SCRIPT;
  // After the first page: the school's line is not to carry both at once.
  const register = () => void navigator.serviceWorker.register(url, { updateViaCache: 'none' }).catch(() => {});
  if (document.readyState === 'complete') register();
  else window.addEventListener('load', register, { once: true });
}
