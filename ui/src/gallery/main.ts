// Every state of the window on a page of its own: `gallery.html?state=mesh`; without a state, the list of them.

import { mount } from 'svelte';

import App from '../App.svelte';
import '../styles.css';
import { mock, type Mock } from './mock';
import { past } from './past';
import { NOW, states } from './states';

declare global {
  interface Window {
    /** For the tests: the names of the states, and the shell of the one that is shown. */
    gallery: { names: string[]; backend?: Mock; ready?: Promise<void> };
  }
}

window.gallery = { names: states.map((state) => state.name) };
const target = document.getElementById('app')!;
const name = new URLSearchParams(location.search).get('state');
const state = states.find((one) => one.name === name);

if (state) {
  const backend = mock(state.given);
  window.gallery.backend = backend;
  mount(App, { target, props: { backend, start: state.given.view, page: state.page, ask: state.ask ?? null, past: past(state.given.view.status), clock: () => NOW } });
  if (state.moving) move(backend);
  window.gallery.ready = press(state.press ?? []);
} else {
  const list = document.createElement('main');
  list.append(
    ...states.map((one) => {
      const link = document.createElement('a');
      link.href = `?state=${one.name}`;
      link.textContent = one.name;
      const line = document.createElement('p');
      line.append(link);
      return line;
    }),
  );
  target.append(list);
}

/** Counters that grow, as while somebody works. */
function move(backend: Mock) {
  let turn = 0;
  setInterval(() => {
    turn += 1;
    // As it is by now: what was changed meanwhile stays.
    const { status } = backend.view();
    if (!status) return;
    const more = Math.round(40_000 * (1 + Math.sin(turn / 2)) * (1 + Math.sin(turn / 5)));
    const [client] = status.clients;
    if (client) client.bytes = [client.bytes[0] + more / 8, client.bytes[1] + more];
    const one = status.remotes[1]?.imports[1];
    if (one) one.bytes = [one.bytes[0] + more / 4, one.bytes[1] + more * 2];
    backend.push({ ...backend.view(), status: { ...status } });
  }, 1500);
}

/** Clicks and types as the state wants it: what a person would do, by the names that they see. */
async function press(steps: string[]) {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const until = async <T>(what: string, find: () => T | null | undefined): Promise<T> => {
    const deadline = performance.now() + 5000;
    for (;;) {
      const found = find();
      if (found) return found;
      if (performance.now() > deadline) throw new Error(`the gallery does not find ${what}`);
      await frame();
    }
  };
  const scope = () => document.querySelector('dialog[open]') ?? document.body;
  for (const step of steps) {
    if (step.startsWith('radio:')) {
      const value = step.slice(6);
      const radios = () => [...scope().querySelectorAll<HTMLInputElement>('input[type=radio]')];
      (await until(step, () => radios().find((one) => one.value === value || one.parentElement?.textContent?.trim().startsWith(value)))).click();
    } else if (step.startsWith('box:')) {
      const name = step.slice(4);
      const boxes = () => [...scope().querySelectorAll<HTMLInputElement>('input[type=checkbox]')];
      (await until(step, () => boxes().find((one) => one.labels?.[0]?.textContent?.trim().startsWith(name)))).click();
    } else if (step.startsWith('type:')) {
      const [label, text] = halves(step.slice(5));
      const input = await until(step, () => {
        const found = [...scope().querySelectorAll('label')].find((one) => one.textContent?.trim() === label && one.htmlFor);
        return found && (document.getElementById(found.htmlFor) as HTMLInputElement | null);
      });
      input.value = text;
      input.dispatchEvent(new Event('input', { bubbles: true }));
      // Where it is checked, until it was.
      if (input.closest('.field.checked')) await until(step, () => input.closest('.field')?.querySelector('.mark, .wrong'));
    } else if (step.startsWith('search:')) {
      const [label, text] = halves(step.slice(7));
      const input = await until(step, () => scope().querySelector<HTMLInputElement>(`input[aria-label="${label}"]`));
      input.value = text;
      input.dispatchEvent(new Event('input', { bubbles: true }));
    } else if (step.startsWith('summary')) {
      const name = step.slice(8);
      (await until(step, () => [...scope().querySelectorAll('summary')].find((one) => one.textContent?.includes(name)))).click();
    } else {
      const button = await until(step, () =>
        [...scope().querySelectorAll('button')].find(
          (one) => !one.disabled && (one.getAttribute('aria-label') ?? one.textContent?.replace(/\s+/g, ' ').trim()) === step,
        ),
      );
      button.click();
    }
    await frame();
    await frame();
  }
}

/** What is before the first `=`, and what is after it. */
function halves(text: string): [string, string] {
  const at = text.indexOf('=');
  return [text.slice(0, at), text.slice(at + 1)];
}
