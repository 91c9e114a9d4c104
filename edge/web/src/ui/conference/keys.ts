/** Keys of a conference. Off with one switch: they may be in the way of other programs and aids (WCAG 2.1.4). */
export interface KeyActions {
  microphone: () => void;
  camera: () => void;
  talk: (down: boolean) => void;
  help: () => void;
}

const TAKES_KEYS = 'input, textarea, select, button, a, [role="button"], [contenteditable], dialog';

/** @returns whether the key was one of ours */
export function onKey(event: KeyboardEvent, enabled: boolean, actions: KeyActions): boolean {
  const inside = event.target instanceof Element && event.target.closest(TAKES_KEYS) !== null;
  // Let go even if the focus or the switch moved meanwhile: nobody stays open by accident.
  if (event.type === 'keyup') {
    if (event.code === 'Space') actions.talk(false);
    return event.code === 'Space' && !inside;
  }
  if (!enabled || event.altKey || event.metaKey) return false;
  if (event.ctrlKey) {
    if (event.shiftKey || event.repeat) return event.key === 'd' || event.key === 'e';
    if (event.key === 'd') actions.microphone();
    else if (event.key === 'e') actions.camera();
    else return false;
    return true;
  }
  if (inside) return false;
  if (event.code === 'Space') {
    if (!event.repeat) actions.talk(true);
    return true;
  }
  if (event.key === '?') {
    actions.help();
    return true;
  }
  return false;
}
