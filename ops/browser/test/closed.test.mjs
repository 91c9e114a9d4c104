/** Conferences from a network that lets nothing through but TLS to one port: TURN at the media node (RFC 8656). */
import assert from 'node:assert/strict';
import { AiortcPerson } from '../lib/aiortc.mjs';
import { Api } from '../lib/api.mjs';
import { Authority } from '../lib/authority.mjs';
import { assembled, join, keepPeers, open, pitchesHeard, snapshot } from '../lib/conference.mjs';
import { counter } from '../lib/metrics.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { LOOKS, sources } from '../lib/sources.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

const FRAMES_MIN = 50;
const FRAMES_MAX_MS = 30_000;
const LISTEN_MS = 8_000;
const [ofMaria, ofMia, ofNoah] = LOOKS;

const authority = new Authority();

suite(
  'closed',
  (suite) => {
    const { room, teacher, pupils } = CLASSES.nord;
    /** @type {Person} */ let maria;
    /** @type {Person} */ let mia;
    suite.cleanup(() => authority.close());

    const enter = async (look, who, flags = [], environment = {}) => {
      const own = sources(look, { width: 640, height: 360 });
      suite.cleanup(own.close);
      return Person.signedIn(await suite.browser([...own.args, ...flags], environment), suite.stack.url('nord'), who);
    };

    /** No UDP is sent by the browser itself, and the page does not learn of the node's port for media over TCP. */
    const closeNetwork = ({ page }) =>
      page.evaluate(() => {
        const { setRemoteDescription } = RTCPeerConnection.prototype;
        RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
          return setRemoteDescription.call(this, { type, sdp: sdp.replace(/a=candidate:\S+ 1 tcp .*\r\n/g, '') });
        };
      });

    suite.claim('a Chromium that reaches nothing but the one TLS port sees, hears, is seen and heard', async () => {
      maria = await enter(ofMaria, teacher);
      await keepPeers(maria);
      await open(maria, room);
      await assembled([maria]);
      mia = await enter(ofMia, pupils[2], ['--webrtc-ip-handling-policy=disable_non_proxied_udp'], { HOME: authority.home });
      await closeNetwork(mia);
      await keepPeers(mia);
      await join(mia);
      await assembled([maria, mia]);
      for (const [person, other] of [[maria, mia], [mia, maria]]) await sees(person, other);
      assert.deepEqual(await pitchesHeard(mia, [ofMaria.pitchHz], LISTEN_MS), [ofMaria.pitchHz]);
      assert.deepEqual(await pitchesHeard(maria, [ofMia.pitchHz], LISTEN_MS), [ofMia.pitchHz]);
      assert.deepEqual(await way(mia), { type: 'relay', by: 'tls' });
      const { admin } = suite.stack.node('nord').media;
      assert.equal(await counter(admin, 'schulhof_media_turn_foreign_peers_total'), 0);
      assert.ok((await counter(admin, 'schulhof_media_turn_allocations')) >= 1);
      // Who has another way is told of this one too, and takes the better one.
      assert.notEqual((await way(maria)).type, 'relay');
    });

    suite.claim('so does aiortc, whose TURN client shares no code with the browser or the node', async () => {
      const { admin } = suite.stack.node('nord').media;
      const before = await counter(admin, 'schulhof_media_turn_allocated_total');
      const { ticket, claims } = await (await Api.login(suite.stack.url('nord'), pupils[1].login)).ticket(room);
      const plan = {
        node: claims.primary.url,
        ticket,
        audio_slots: claims.audio_slots,
        video_slots: claims.video_slots,
        pitch_hz: ofNoah.pitchHz,
        pitches_hz: [ofMaria.pitchHz, ofMia.pitchHz],
        relayed: true,
      };
      const noah = new AiortcPerson(pupils[1].name, plan, { SSL_CERT_FILE: authority.certificate });
      suite.cleanup(() => noah.close());
      suite.onFailure(() => console.error(`aiortc: ${JSON.stringify(noah.now)}\n${noah.errors.join('\n')}`));
      await until(`${noah.name} sees and hears both others`, FRAMES_MAX_MS, () => {
        if (noah.now?.closed) throw new Error(`the node closed the connection: ${noah.now.closed}`);
        return [maria, mia].every(({ name }) => noah.now?.decoded[name] >= FRAMES_MIN) && noah.now.heard.length === 2;
      });
      await sees(maria, noah);
      assert.ok((await counter(admin, 'schulhof_media_turn_allocated_total')) > before);
      assert.equal(await counter(admin, 'schulhof_media_turn_foreign_peers_total'), 0);
      // Asking before one has signed in is no fault.
      const faults = [...maria.faults, ...mia.faults].filter((fault) => !(fault.includes('401') && fault.includes('/api/session')));
      assert.deepEqual(faults, []);
    });

    const sees = (person, other) =>
      until(`${person.name} sees ${other.name}`, FRAMES_MAX_MS, async () => {
        const { participants } = await snapshot(person);
        return participants.find(({ name }) => name === other.name)?.framesDecoded >= FRAMES_MIN;
      });

    /** The local end of the pair that media takes. */
    const way = (person) =>
      person.page.evaluate(async () => {
        // The one that stands by sends nothing.
        const peer = window.peers.findLast((peer) => peer.getSenders().some(({ track }) => track));
        const report = await peer.getStats();
        const transport = [...report.values()].find(({ type }) => type === 'transport');
        const local = report.get(report.get(transport.selectedCandidatePairId).localCandidateId);
        return { type: local.candidateType, by: local.relayProtocol };
      });
  },
  { turnTls: authority.tls },
);
