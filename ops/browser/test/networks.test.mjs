/** Conferences from networks that let little through. */
import assert from 'node:assert/strict';
import { assembled, join, keepPeers, open, pitchesHeard, snapshot } from '../lib/conference.mjs';
import { FirefoxPerson } from '../lib/firefox.mjs';
import { counter } from '../lib/metrics.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { LOOKS, sources } from '../lib/sources.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

const FRAMES_MIN = 50;
const FRAMES_MAX_MS = 30_000;
const LISTEN_MS = 8_000;

suite('networks', (suite) => {
  const enter = async (look, who, flags = []) => {
    const own = sources(look, { width: 640, height: 360 });
    suite.cleanup(own.close);
    return Person.signedIn(await suite.browser([...own.args, ...flags]), suite.stack.url('nord'), who);
  };

  /** @type {Person} */ let maria;

  suite.claim('a Chromium that may use no UDP sees, hears, is seen and heard over TCP', async () => {
    const { room, teacher, pupils } = CLASSES.nord;
    maria = await enter(LOOKS[0], teacher);
    await open(maria, room);
    await assembled([maria]);
    // As in a network whose firewall lets no UDP through: the browser itself refuses to send any, whatever it is offered.
    const mia = await enter(LOOKS[1], pupils[2], ['--webrtc-ip-handling-policy=disable_non_proxied_udp']);
    await keepPeers(mia);
    await join(mia);
    await assembled([maria, mia]);
    await seeEachOther(maria, mia);
    assert.deepEqual(await pitchesHeard(mia, [LOOKS[0].pitchHz], LISTEN_MS), [LOOKS[0].pitchHz]);
    assert.deepEqual(await pitchesHeard(maria, [LOOKS[1].pitchHz], LISTEN_MS), [LOOKS[1].pitchHz]);
    assert.deepEqual(await selected(mia), ['tcp', 'tcp']);
    const { admin } = suite.stack.node('nord').media;
    const sent = await counter(admin, 'schulhof_media_tcp_sent_frames_total');
    assert.ok(sent > 200, `the node sent ${sent} packets over TCP`);
    await mia.close();
  });

  suite.claim('so does a Firefox whose sockets send no UDP', async () => {
    const { pupils } = CLASSES.nord;
    // Firefox's own simulation of a network, beneath its ICE: every datagram is dropped.
    const blocked = {
      'media.peerconnection.nat_simulator.filtering_type': 'ENDPOINT_INDEPENDENT',
      'media.peerconnection.nat_simulator.mapping_type': 'ENDPOINT_INDEPENDENT',
      'media.peerconnection.nat_simulator.block_udp': true,
    };
    const emilia = await FirefoxPerson.launch(pupils[0].name, LOOKS[2].pitchHz, blocked);
    suite.cleanup(() => emilia.close());
    suite.onFailure((folder) => emilia.photograph(`${folder}/firefox.png`));
    await emilia.signIn(suite.stack.url('nord'), pupils[0].login);
    await keepPeers(emilia);
    await emilia.join();
    await assembled([maria, emilia]);
    await seeEachOther(maria, emilia);
    assert.deepEqual(await pitchesHeard(maria, [LOOKS[2].pitchHz], LISTEN_MS), [LOOKS[2].pitchHz]);
    assert.deepEqual(await selected(emilia), ['tcp', 'tcp']);
  });

  async function seeEachOther(...both) {
    for (const [person, other] of [both, [...both].reverse()]) {
      await until(`${person.name} sees ${other.name}`, FRAMES_MAX_MS, async () => {
        const { participants } = await snapshot(person);
        return participants.find(({ name }) => name === other.name)?.framesDecoded >= FRAMES_MIN;
      });
    }
  }

  /** Protocols of both ends of the pair that media takes. */
  const selected = (person) =>
    person.page.evaluate(async () => {
      const report = await window.peers.findLast((peer) => peer.getSenders().some(({ track }) => track)).getStats();
      const stats = [...report.values()];
      const transport = stats.find(({ type }) => type === 'transport');
      const pair = report.get(transport?.selectedCandidatePairId) ?? stats.find(({ selected }) => selected);
      return [pair.localCandidateId, pair.remoteCandidateId].map((id) => report.get(id).protocol);
    });
});
