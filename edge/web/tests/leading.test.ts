// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Order } from '../src/protocol';
import { NO_RULES, type Person } from '../src/session/conference/types';

beforeAll(() => {
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => {} }));
  vi.stubGlobal('ResizeObserver', class { observe() {} unobserve() {} disconnect() {} });
  HTMLDialogElement.prototype.showModal ??= function showModal(this: HTMLDialogElement) {
    this.open = true;
  };
  HTMLDialogElement.prototype.close ??= function close(this: HTMLDialogElement) {
    this.open = false;
  };
});
afterEach(cleanup);

const FREE = { microphone: true, camera: true, screen: true };
const person = (account: string, more: Partial<Person> = {}): Person => ({
  key: `${account}#1`, id: account, account, name: account, role: 'participant', me: false, microphone: true, camera: true, screen: false, hand: null, muted: false, may: FREE, awaited: false, ...more,
});

describe('the list of people', () => {
  const show = async (leads: boolean) => {
    const { default: PeoplePanel } = await import('../src/ui/conference/PeoplePanel.svelte');
    const orders: Order[] = [];
    render(PeoplePanel, {
      people: [person('weber', { role: 'moderator', me: leads }), person('Noah', { hand: 2 }), person('Mia', { hand: 1, me: !leads }), person('Mia', { key: 'Mia#2', hand: 1 })],
      rules: NO_RULES,
      lobby: { waiting: [{ account: 'emil', name: 'Emil' }], blocked: [{ account: 'paul', name: 'Paul' }] },
      qualities: new Map([['weber#1', 'excellent'], ['Noah#1', 'poor']] as const),
      leads,
      mayLead: false,
      onorder: (order: Order) => orders.push(order),
      onperson: () => {},
      onroom: () => {},
      onclose: () => {},
    });
    return orders;
  };

  it('shows hands in their order, each person once', async () => {
    await show(false);
    const list = screen.getAllByRole('list').find((list) => list.tagName === 'OL');
    expect([...(list?.children ?? [])].map((item) => item.textContent?.replaceAll(/\s+/g, ' ').trim())).toEqual([
      '1. Mia (du) Meldet sich',
      '2. Noah Meldet sich',
    ]);
  });

  it('says in words whose line is weak', async () => {
    await show(true);
    const signs = [...document.querySelectorAll('[data-quality]')];
    expect(signs.map((sign) => [sign.closest('li')?.querySelector('.cut')?.textContent, sign.textContent?.trim()])).toEqual([
      ['Noah', 'Verbindung schwach'],
    ]);
  });

  it('offers a pupil nothing to lead with', async () => {
    await show(false);
    expect(screen.getAllByRole('button').map((button) => button.getAttribute('aria-label'))).toEqual(['Schließen']);
    expect(screen.queryByText('Emil')).toBeNull();
  });

  it('lets a moderator open the door, lower hands and let somebody back', async () => {
    const orders = await show(true);
    for (const name of ['Emil hereinlassen', 'Emil abweisen', 'Alle hereinlassen', 'Hand von Noah senken', 'Alle Hände senken', 'Alle stumm schalten', 'Paul wieder zulassen']) {
      await fireEvent.click(screen.getByRole('button', { name }));
    }
    expect(orders).toEqual([
      { type: 'admit', account: 'emil' },
      { type: 'refuse', account: 'emil' },
      { type: 'admit_all' },
      { type: 'lower_hand', account: 'Noah' },
      { type: 'lower_hands' },
      { type: 'mute_all' },
      { type: 'unblock', account: 'paul' },
    ]);
  });
});

describe('what can be done about one person', () => {
  it('asks before it removes, and offers what is locked', async () => {
    const { default: PersonDialog } = await import('../src/ui/conference/PersonDialog.svelte');
    const orders: Order[] = [];
    render(PersonDialog, {
      person: person('Noah', { may: { ...FREE, microphone: false } }),
      rules: { ...NO_RULES, microphone_locked: true },
      onorder: (order: Order) => orders.push(order),
      onclose: () => {},
    });
    await fireEvent.click(screen.getByRole('button', { name: 'Sprechen erlauben' }));
    expect(screen.queryByRole('button', { name: 'Kamera erlauben' })).toBeNull();
    await fireEvent.click(screen.getByRole('button', { name: 'Entfernen …' }));
    await tick();
    expect(orders).toHaveLength(1);
    await fireEvent.click(screen.getByRole('button', { name: 'Entfernen' }));
    expect(orders).toEqual([
      { type: 'allow', account: 'Noah', kind: 'microphone', on: true },
      { type: 'remove', account: 'Noah' },
    ]);
  });
});

describe('the controls for all', () => {
  const show = async (onattendance: () => Promise<boolean>) => {
    const { default: RoomDialog } = await import('../src/ui/conference/RoomDialog.svelte');
    const orders: Order[] = [];
    render(RoomDialog, { rules: { ...NO_RULES, camera_locked: true }, onorder: (order: Order) => orders.push(order), onattendance, onclose: () => {} });
    return orders;
  };

  it('show what holds, and order the opposite', async () => {
    const orders = await show(async () => true);
    const checked = screen.getAllByRole('switch', { checked: true }).map((element) => element.closest('label')?.textContent?.trim());
    expect(checked).toEqual(['Kameras sperren']);
    for (const name of ['Warteraum', 'Kameras sperren', 'Kameras nur für die Leitung']) await fireEvent.click(screen.getByLabelText(new RegExp(name)));
    expect(orders).toEqual([
      { type: 'lobby', on: true },
      { type: 'lock', kind: 'camera', on: false },
      { type: 'cameras_to_moderators', on: true },
    ]);
  });

  it('say when there is no attendance list, and take it back when there is one', async () => {
    let answer = false;
    await show(async () => answer);
    const button = screen.getByRole('button', { name: 'Anwesenheitsliste' });
    await fireEvent.click(button);
    await vi.waitFor(() => expect(screen.getByRole('alert').textContent).toContain('ließ sich nicht laden'));
    answer = true;
    await fireEvent.click(button);
    await vi.waitFor(() => expect(screen.queryByRole('alert')?.textContent ?? '').toBe(''));
  });
});

describe('notices', () => {
  it('say in words what is locked, and nothing when nothing is', async () => {
    const { default: Notices } = await import('../src/ui/conference/Notices.svelte');
    const props = { id: 'n', rules: NO_RULES, callers: [], audioOnly: false, onadmit: () => {}, onview: () => {}, onpictures: () => {} };
    const { rerender } = render(Notices, { ...props, me: person('Mia') });
    expect(document.getElementById('n')?.textContent?.trim()).toBe('');
    await rerender({ ...props, me: person('Mia', { muted: true, may: { ...FREE, camera: false } }) });
    expect(document.getElementById('n')?.textContent).toContain('Die Leitung hat dich stumm geschaltet. Die Leitung hat die Kameras gesperrt');
  });
});
