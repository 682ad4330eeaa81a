// The window's entry: the app, on the shell.

import { mount } from 'svelte';

import App from './App.svelte';
import { tauri } from './lib/backend';
import './styles.css';

const target = document.getElementById('app');
if (target) mount(App, { target, props: { backend: tauri } });
