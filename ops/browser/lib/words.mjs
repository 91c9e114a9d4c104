/** What the page says, in both languages: tests find things as a person does, by their words. */
export const WORDS = {
  de: {
    login: { title: 'Anmelden', user: 'Benutzername', password: 'Passwort', submit: 'Anmelden' },
    toHome: 'Zur Startseite',
    nav: { label: 'Hauptbereiche', home: 'Start', messages: 'Nachrichten' },
    settings: { open: 'Einstellungen', check: 'Kamera und Ton testen', signOut: 'Abmelden' },
    messages: {
      write: (room) => `Nachricht an ${room}`,
      send: 'Senden',
      history: 'Verlauf',
      beginning: 'Anfang der Unterhaltung',
      toNewest: 'Zum Neuesten',
      direct: 'Neue Direktnachricht',
      unread: (n) => `${n} ungelesen`,
    },
    start: { open: 'Konferenz starten', submit: 'Jetzt starten' },
    check: { preview: 'Eigenes Kamerabild', join: 'Beitreten' },
    conference: { box: 'über die Schulbox', relay: 'über die Cloud', leave: 'Verlassen', leaveAll: 'Für alle beenden', people: 'Teilnehmende',
      microphone: 'Mikrofon', camera: 'Kamera', raise: 'Hand heben', lower: 'Hand senken', raised: 'Meldet sich', keys: 'Tasten', picture: (name) => `Bild von ${name}` },
    close: 'Schließen',
    cloudLost: 'Internet gestört',
    boxLost: 'Keine Verbindung zur Schulbox',
    wrongPassword: 'Benutzername oder Passwort stimmt nicht.',
  },
  en: {
    login: { title: 'Sign in', user: 'User name', password: 'Password', submit: 'Sign in' },
    toHome: 'Go to the start page',
    nav: { label: 'Main areas', home: 'Home', messages: 'Messages' },
    settings: { open: 'Settings', check: 'Test camera and sound', signOut: 'Sign out' },
    messages: {
      write: (room) => `Message to ${room}`,
      send: 'Send',
      history: 'History',
      beginning: 'Beginning of the conversation',
      toNewest: 'To the newest',
      direct: 'New direct message',
      unread: (n) => `${n} unread`,
    },
    start: { open: 'Start conference', submit: 'Start now' },
    check: { preview: 'Your camera picture', join: 'Join' },
    conference: { box: 'over the school box', relay: 'over the cloud', leave: 'Leave', leaveAll: 'End for all', people: 'Participants',
      microphone: 'Microphone', camera: 'Camera', raise: 'Raise hand', lower: 'Lower hand', raised: 'Hand raised', keys: 'Keys', picture: (name) => `Picture of ${name}` },
    close: 'Close',
    cloudLost: 'Internet disrupted',
    boxLost: 'No connection to the school box',
    wrongPassword: 'User name or password is not right.',
  },
};

/** How far an own message has come, as its mark says. */
export const MARKS = {
  waiting: 'Wartet in diesem Browser auf die Schulbox',
  saved: 'Auf der Schulbox gespeichert',
  secured: 'In der Cloud gesichert',
};
