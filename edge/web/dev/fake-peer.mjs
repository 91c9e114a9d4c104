// schulhof-mock: a peer connection that is not one: its slots carry painted pictures. For looking at the conference page.
export const fakePeer = `(() => {
  const PALETTE = [['#2b4a6f', '#7fa7d4'], ['#5b3a5e', '#c594c9'], ['#3c5b45', '#94c7a3'], ['#6b4a2c', '#d9ae7d'], ['#3f3f66', '#a3a3dc'], ['#27565c', '#84c4cc'], ['#6a3535', '#d79696'], ['#4c5a2a', '#b6c97e'], ['#444b52', '#a9b4bf']];
  let made = 0;
  function painted() {
    const n = made++;
    const canvas = document.createElement('canvas');
    canvas.width = 640; canvas.height = 360;
    const c = canvas.getContext('2d');
    const [dark, light] = PALETTE[n % PALETTE.length];
    let t = 0;
    const draw = () => {
      t += 1;
      const g = c.createLinearGradient(0, 0, 640, 360);
      g.addColorStop(0, dark); g.addColorStop(1, '#1b2422');
      c.fillStyle = g; c.fillRect(0, 0, 640, 360);
      c.fillStyle = 'rgba(255,255,255,.08)'; c.fillRect(40 + n * 20, 40, 150, 190); c.fillRect(470 - n * 15, 60, 110, 130);
      c.fillStyle = light; c.beginPath(); c.ellipse(320, 400, 150, 150, 0, 0, 7); c.fill();
      c.fillStyle = '#e9c9a8'; c.beginPath(); c.ellipse(320, 190 + Math.sin(t / 9) * 3, 62, 76, 0, 0, 7); c.fill();
      c.fillStyle = '#3a2a22'; c.beginPath(); c.ellipse(320, 140 + Math.sin(t / 9) * 3, 68, 46, 0, Math.PI, 0); c.fill();
    };
    draw();
    setInterval(draw, 66);
    return canvas.captureStream(15).getVideoTracks()[0];
  }
  function silent() {
    const context = new AudioContext();
    return context.createMediaStreamDestination().stream.getAudioTracks()[0];
  }
  window.RTCPeerConnection = class {
    connectionState = 'new'; iceConnectionState = 'new'; localDescription = null; transceivers = []; bytes = 0;
    addTransceiver(kind, init) {
      const media = typeof kind === 'string' ? kind : kind.kind;
      const t = { mid: String(this.transceivers.length), sender: { replaceTrack: async () => {}, track: null }, receiver: { track: init.direction === 'recvonly' ? (media === 'video' ? painted() : silent()) : null } };
      this.transceivers.push(t);
      return t;
    }
    async createOffer() { return { type: 'offer', sdp: 'v=0' }; }
    async setLocalDescription(d) { this.localDescription = d; }
    async setRemoteDescription() {
      if (window.__fakeJoin === 'hang') return;
      setTimeout(() => { this.connectionState = this.iceConnectionState = 'connected'; this.onconnectionstatechange?.(); }, 60);
    }
    async getStats() {
      this.bytes += 5000;
      return new Map([['pair', { type: 'candidate-pair', nominated: true, bytesReceived: this.bytes, currentRoundTripTime: 0.012 }]]);
    }
    close() { this.connectionState = 'closed'; }
  };
})();`;
