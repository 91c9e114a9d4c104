// Before the first paint, so that nothing flashes: the remembered language, and light or dark. The choice itself is kept
// by src/session/preferences.ts, which calls __schulhofTheme when it changes.
(function () {
  var root = document.documentElement;
  var dark = window.matchMedia('(prefers-color-scheme: dark)');
  var chosen = 'system';
  function show() {
    root.dataset.theme = chosen === 'system' ? (dark.matches ? 'dark' : 'light') : chosen;
  }
  window.__schulhofTheme = function (theme) {
    chosen = theme;
    show();
  };
  try {
    var kept = JSON.parse(localStorage.getItem('schulhof:preferences') || '{}');
    if (kept.theme === 'light' || kept.theme === 'dark') chosen = kept.theme;
    if (kept.language === 'de' || kept.language === 'en') root.lang = kept.language;
  } catch (error) {
    // No storage: the defaults stand.
  }
  dark.addEventListener('change', show);
  show();
})();
