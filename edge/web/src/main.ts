import '@fontsource-variable/inter/wght.css';
import { mount } from 'svelte';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import App from './ui/App.svelte';
import { words } from './ui/app.svelte';
import { keepShell } from './ui/shell/worker';

const target = document.getElementById('app');
// Not in the dark about the language: another one than German comes in a file of its own.
await words.ready;
if (target) mount(App, { target });
keepShell();
