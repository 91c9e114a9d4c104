"""A person in a conference with aiortc: a stack that shares no code with the browsers' or ours.

Reads {"node", "ticket", "audio_slots", "video_slots", "pitch_hz", "pitches_hz", "relayed"} as one line of JSON from its
input, joins, sends a moving picture and a tone, and writes twice a second, as lines of JSON, what it has decoded of whom.
`relayed`: over the TURN server that the node names, and in no other way. Ends when its input ends.
"""

import array
import asyncio
import fractions
import json
import math
import sys
import urllib.parse
import urllib.request

import aioice.ice
import websockets
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

RATE_HZ = 48_000
SAMPLES = RATE_HZ // 50
FPS = 15
WIDTH, HEIGHT = 320, 180
REPORT_EVERY_S = 0.5
PING_EVERY_S = 2
# It leaves out the loopback addresses, where the nodes of a test are.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"] * use_ipv4 + ["::1"] * use_ipv6
# Of full scale: a tone stands far above, leakage far below.
LOUD = 0.01


class Paced(MediaStreamTrack):
    """Gives a frame when its time has come."""

    def __init__(self):
        super().__init__()
        self.n = 0
        self.start = None

    async def next(self, per_second):
        loop = asyncio.get_running_loop()
        if self.start is None:
            self.start = loop.time()
        await asyncio.sleep(max(0.0, self.start + self.n / per_second - loop.time()))
        self.n += 1
        return self.n


class Tone(Paced):
    kind = "audio"

    def __init__(self, pitch_hz):
        super().__init__()
        step = 2 * math.pi * pitch_hz / RATE_HZ
        # One second repeats without a gap, as the pitch is a whole number.
        self.second = array.array("h", (round(8_000 * math.sin(step * n)) for n in range(RATE_HZ)))

    async def recv(self):
        n = await self.next(RATE_HZ // SAMPLES)
        frame = AudioFrame(format="s16", layout="mono", samples=SAMPLES)
        at = (n * SAMPLES) % RATE_HZ
        frame.planes[0].update(self.second[at : at + SAMPLES].tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, n * SAMPLES, fractions.Fraction(1, RATE_HZ)
        return frame


class Bar(Paced):
    """A dark bar that wanders over a green picture."""

    kind = "video"

    async def recv(self):
        n = await self.next(FPS)
        frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, level in zip(frame.planes, (145, 54, 34)):
            row = bytearray([level]) * plane.line_size
            if level == 145:
                left = (n * 4) % (WIDTH - 32)
                row[left : left + 32] = bytes(32)
            plane.update(bytes(row) * plane.height)
        frame.pts, frame.time_base = n * 90_000 // FPS, fractions.Fraction(1, 90_000)
        return frame


def loudness(samples, pitch_hz):
    """Goertzel's algorithm: the part of the pitch, of full scale."""
    factor = 2 * math.cos(2 * math.pi * pitch_hz / RATE_HZ)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + factor * last - before
    power = before * before + last * last - factor * before * last
    return 2 * math.sqrt(max(power, 0.0)) / len(samples) / 32_768


class Person:
    def __init__(self, plan):
        self.plan = plan
        self.people = {}
        self.slots = []
        self.decoded = {}
        self.heard = set()
        self.closed = None
        self.tasks = []
        # With the usual policy aiortc leaves all video but the first on a transport that it closes.
        policy = RTCIceTransportPolicy.RELAY if plan.get("relayed") else RTCIceTransportPolicy.ALL
        self.peer = RTCPeerConnection(
            RTCConfiguration(iceServers=[], iceTransportPolicy=policy, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )

    async def join(self):
        peer, plan = self.peer, self.plan
        peer.addTransceiver(Tone(plan["pitch_hz"]), direction="sendonly")
        peer.addTransceiver(Bar(), direction="sendonly")
        peer.addTransceiver("video", direction="sendonly")
        audio = [peer.addTransceiver("audio", direction="recvonly") for _ in range(plan["audio_slots"])]
        video = [peer.addTransceiver("video", direction="recvonly") for _ in range(plan["video_slots"])]
        offer = await peer.createOffer()
        body = {"ticket": plan["ticket"], "offer": offer.sdp}
        answer = await asyncio.to_thread(post, plan["node"] + "/media/join", body)
        self.control = await websockets.connect(
            plan["node"].replace("http", "ws", 1) + "/media/control/" + answer["session"]
        )
        self.tasks = [asyncio.create_task(self.listen()), asyncio.create_task(self.ping())]
        if plan.get("relayed"):
            relay_over(peer, answer["ice_servers"][0])
        await peer.setLocalDescription(offer)
        await peer.setRemoteDescription(RTCSessionDescription(with_candidates(answer["answer"]), "answer"))
        self.tasks += [asyncio.create_task(self.hear(slot.receiver.track)) for slot in audio]
        self.tasks += [asyncio.create_task(self.see(n, slot.receiver.track)) for n, slot in enumerate(video)]
        await self.say({"type": "publish", "microphone": True, "camera": True, "screen": False})

    async def say(self, message):
        await self.control.send(json.dumps(message))

    async def ping(self):
        n = 0
        while True:
            await asyncio.sleep(PING_EVERY_S)
            n += 1
            await self.say({"type": "ping", "n": n})

    async def listen(self):
        async for text in self.control:
            message = json.loads(text)
            if message["type"] == "roster":
                self.people = {person["id"]: person["name"] for person in message["participants"]}
            elif message["type"] == "slots":
                self.slots = message["video"]
            elif message["type"] == "closing":
                self.closed = message["reason"]

    async def see(self, n, track):
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            shown = next((slot["participant"] for slot in self.slots if slot["slot"] == n), None)
            name = self.people.get(shown)
            if name is not None:
                self.decoded[name] = self.decoded.get(name, 0) + 1

    async def hear(self, track):
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            # Two interleaved channels; the left one.
            samples = array.array("h", bytes(frame.planes[0]))[: 2 * frame.samples : 2]
            for pitch_hz in set(self.plan["pitches_hz"]) - self.heard:
                if loudness(samples, pitch_hz) > LOUD:
                    self.heard.add(pitch_hz)

    async def report(self):
        while True:
            transport = self.peer.getTransceivers()[0].sender.transport
            line = {
                "state": self.peer.connectionState,
                "dtls": transport.state,
                "people": sorted(self.people.values()),
                "decoded": self.decoded,
                "heard": sorted(self.heard),
                "closed": self.closed,
            }
            print(json.dumps(line), flush=True)
            await asyncio.sleep(REPORT_EVERY_S)


def with_candidates(answer):
    """The candidates of a bundle stand in its first m-line (RFC 9429 5.3.1); aiortc takes those of the last one."""
    head, first, *others = answer.split("m=")
    lines = "".join(line + "\r\n" for line in first.split("\r\n") if line.startswith("a=candidate"))
    return "m=".join([head, first, *(other + lines for other in others)])


def relay_over(peer, server):
    """Before candidates are gathered; aiortc takes servers at the start only, where they are not known yet."""
    ice = peer.getTransceivers()[0].sender.transport.transport.iceGatherer._connection
    url = urllib.parse.urlsplit(server["urls"][0].replace("turns:", "turns://"))
    ice.turn_server, ice.turn_ssl, ice.turn_transport = (url.hostname, url.port), True, "tcp"
    ice.turn_username, ice.turn_password = server["username"], server["credential"]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def main():
    person = Person(json.loads(sys.stdin.readline()))
    await person.join()
    person.tasks.append(asyncio.create_task(person.report()))
    await asyncio.to_thread(sys.stdin.read)
    for task in person.tasks:
        task.cancel()
    await person.control.close()
    await person.peer.close()


asyncio.run(main())
