import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  preprocess: vitePreprocess(),
  // Runes everywhere; styles go to the one CSS file, since the window's CSP forbids inline ones.
  compilerOptions: { runes: true, css: 'external' },
};
