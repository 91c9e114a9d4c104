/** What a teacher does with a conference, and what a pupil's page says about it. */

/** @typedef {import('./people.mjs').Person} Person */

/** The list of people, open. On a phone it covers the pictures. @param {Person} person */
export async function panel({ page, words }) {
  const list = page.getByRole('complementary', { name: words.conference.people });
  if (!(await list.isVisible())) await page.getByRole('toolbar').getByRole('button', { name: words.conference.people }).click();
  await list.waitFor();
  return list;
}

/** @param {Person} person */
export async function closePanel(person) {
  const list = await panel(person);
  await list.getByRole('button', { name: person.words.close, exact: true }).click();
  await list.waitFor({ state: 'hidden' });
}

/** The dialog for all, open; `act` is done in it. @param {Person} teacher @param {(dialog: import('playwright-core').Locator) => Promise<unknown>} act */
export async function inRoomDialog(teacher, act) {
  const list = await panel(teacher);
  await list.getByRole('button', { name: teacher.words.leading.room }).click();
  const dialog = teacher.page.getByRole('dialog');
  await dialog.waitFor();
  await act(dialog);
  await teacher.page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
}

/** Turns a switch of the dialog for all on or off. @param {Person} teacher @param {string} label @param {boolean} on */
export const setSwitch = (teacher, label, on) =>
  inRoomDialog(teacher, (dialog) => dialog.getByRole('switch', { name: label }).setChecked(on));

/** Opens the actions for somebody and takes some of them, one after the other. @param {Person} teacher @param {Person} about @param {string[]} names */
export async function act(teacher, about, ...names) {
  const list = await panel(teacher);
  await list.getByRole('button', { name: teacher.words.leading.actions(about.name) }).click();
  const dialog = teacher.page.getByRole('dialog');
  for (const name of names) await dialog.getByRole('button', { name, exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
}

/** A button of one's own toolbar. @param {Person} person @param {string} control */
export const tool = ({ page, words }, control) => page.getByRole('toolbar').getByRole('button', { name: words.conference[control] });

/**
 * Makes the page's connections reachable for `cheat`. To be called before the conference is joined.
 * @param {Person} person
 */
export const prepareToCheat = ({ page }) =>
  page.evaluate(() => {
    const own = (window.own = { peers: [], sockets: new Set() });
    const { createOffer } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.createOffer = function (...args) {
      own.peers.push(this);
      return createOffer.apply(this, args);
    };
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (data) {
      if (this.url.includes('/media/control/')) own.sockets.add(this);
      return send.call(this, data);
    };
  });

/**
 * Past the page: the microphone is opened, sent, and said to be on.
 * @param {Person} person
 * @returns {Promise<{ packets: number, level: number }>} what left the browser in a second
 */
export const cheat = ({ page }) =>
  page.evaluate(async () => {
    // The one that stands by sends nothing.
    const peer = window.own.peers.findLast((peer) => peer.getSenders().some(({ track }) => track));
    const sender = peer.getSenders().find(({ track }) => track?.kind === 'audio');
    sender.track.enabled = true;
    for (const socket of window.own.sockets) {
      if (socket.readyState !== WebSocket.OPEN) continue;
      socket.send(JSON.stringify({ type: 'unmute' }));
      socket.send(JSON.stringify({ type: 'publish', microphone: true, camera: true, screen: false }));
      socket.send(JSON.stringify({ type: 'moderate', order: { type: 'lock', kind: 'microphone', on: false } }));
    }
    const sent = async () => {
      const stats = [...(await sender.getStats()).values()];
      return {
        packets: stats.find(({ type }) => type === 'outbound-rtp').packetsSent,
        level: stats.find(({ type }) => type === 'media-source').totalAudioEnergy,
      };
    };
    const before = await sent();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const after = await sent();
    return { packets: after.packets - before.packets, level: after.level - before.level };
  });
