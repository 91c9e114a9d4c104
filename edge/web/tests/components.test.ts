// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProblemError } from '../src/protocol';

const app = async () => await import('../src/ui/app.svelte');

beforeAll(() => {
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => {} }));
  vi.stubGlobal('ResizeObserver', class { observe() {} unobserve() {} disconnect() {} });
});

describe('sign-in', () => {
  let login: ReturnType<typeof vi.fn>;

  beforeEach(async () => {
    const { session, preferences } = await app();
    preferences.set({ language: 'de' });
    login = vi.spyOn(session, 'login').mockResolvedValue(undefined) as unknown as ReturnType<typeof vi.fn>;
    const { default: Login } = await import('../src/ui/login/Login.svelte');
    render(Login, { ended: false });
  });
  afterEach(cleanup);

  const type = async (user: string, password: string) => {
    await fireEvent.input(screen.getByLabelText('Benutzername'), { target: { value: user } });
    await fireEvent.input(screen.getByLabelText('Passwort'), { target: { value: password } });
    await fireEvent.click(screen.getByRole('button', { name: 'Anmelden' }));
    await tick();
  };

  it('signs in with what was typed', async () => {
    await type('anna', 'geheim');
    expect(login).toHaveBeenCalledWith('anna', 'geheim');
  });

  it('asks for what is missing before it asks the box', async () => {
    await type('anna', '');
    expect(login).not.toHaveBeenCalled();
    expect(screen.getByRole('alert').textContent).toContain('Benutzername und Passwort');
    expect(document.activeElement).toBe(screen.getByLabelText('Passwort'));
  });

  it('says that it was wrong, empties the password, and keeps the name', async () => {
    login.mockRejectedValue(new ProblemError({ code: 'wrong-credentials', status: 401, title: '' }));
    await type('anna', 'falsch');
    await vi.waitFor(() => expect(screen.getByRole('alert').textContent).toContain('stimmt nicht'));
    expect((screen.getByLabelText('Passwort') as HTMLInputElement).value).toBe('');
    expect((screen.getByLabelText('Benutzername') as HTMLInputElement).value).toBe('anna');
  });

  it('changes the language of the page with all its words', async () => {
    await fireEvent.click(screen.getByRole('button', { name: /English/ }));
    await vi.waitFor(() => expect(document.documentElement.lang).toBe('en'));
    await tick();
    expect(screen.getByRole('heading', { name: 'Sign in' })).toBeTruthy();
  });
});

describe('marks', () => {
  afterEach(cleanup);

  it('say in words how far a message has come', async () => {
    (await app()).preferences.set({ language: 'de' });
    const { default: Marks } = await import('../src/ui/messenger/Marks.svelte');
    const words = { waiting: /Wartet/, saved: /Schulbox gespeichert/, secured: /Cloud gesichert/, refused: /Nicht gesendet/ };
    for (const [state, meaning] of Object.entries(words)) {
      render(Marks, { state: state as 'saved' });
      expect(screen.getByText(meaning)).toBeTruthy();
      cleanup();
    }
  });
});

describe('places', () => {
  it('are read from the address, and nothing else is let through', async () => {
    const { parse } = await import('../src/ui/router.svelte');
    expect(parse('/')).toEqual({ at: 'home' });
    expect(parse('/messages/')).toEqual({ at: 'messages', room: null });
    expect(parse('/messages/class:7a')).toEqual({ at: 'messages', room: 'class:7a' });
    expect(parse('/conference/abc')).toEqual({ at: 'conference', conference: 'abc' });
    expect(parse('/people')).toEqual({ at: 'people', page: 'list' });
    expect(parse('/people/import')).toEqual({ at: 'people', page: 'import' });
    expect(parse('/messages/a/b')).toEqual({ at: 'unknown' });
    expect(parse('/messages/%2e%2e')).toEqual({ at: 'unknown' });
  });
});

describe('keys of a conference', () => {
  const actions = () => ({ microphone: vi.fn(), camera: vi.fn(), talk: vi.fn(), help: vi.fn() });
  const press = async (init: KeyboardEventInit, type = 'keydown', target: HTMLElement = document.body, enabled = true) => {
    const { onKey } = await import('../src/ui/conference/keys');
    const done = actions();
    let ours = false;
    const listen = (event: Event) => (ours = onKey(event as KeyboardEvent, enabled, done));
    document.addEventListener(type, listen, { once: true });
    target.dispatchEvent(new KeyboardEvent(type, { bubbles: true, ...init }));
    return { ...done, ours };
  };

  it('do what the help says', async () => {
    expect((await press({ key: 'd', ctrlKey: true })).microphone).toHaveBeenCalled();
    expect((await press({ key: 'e', ctrlKey: true })).camera).toHaveBeenCalled();
    expect((await press({ key: '?' })).help).toHaveBeenCalled();
    expect((await press({ key: ' ', code: 'Space' })).talk).toHaveBeenCalledWith(true);
    expect((await press({ key: ' ', code: 'Space' }, 'keyup')).talk).toHaveBeenCalledWith(false);
  });

  it('leave a field, a button and other programs alone', async () => {
    const button = document.body.appendChild(document.createElement('button'));
    expect((await press({ key: ' ', code: 'Space' }, 'keydown', button)).talk).not.toHaveBeenCalled();
    expect((await press({ key: '?' }, 'keydown', button)).help).not.toHaveBeenCalled();
    expect(await press({ key: 'c', ctrlKey: true })).toMatchObject({ ours: false });
    expect(await press({ key: 'd' })).toMatchObject({ ours: false });
  });

  it('do nothing when they are switched off, but letting go still mutes', async () => {
    const off = await press({ key: 'd', ctrlKey: true }, 'keydown', document.body, false);
    expect(off.microphone).not.toHaveBeenCalled();
    expect(off.ours).toBe(false);
    expect((await press({ key: ' ', code: 'Space' }, 'keyup', document.body, false)).talk).toHaveBeenCalledWith(false);
  });
});
