import '@fontsource-variable/inter/wght.css';
import { mount } from 'svelte';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import App from './ui/App.svelte';

const target = document.getElementById('app');
if (target) mount(App, { target });
