// How the window is built: `dist` for Tauri, and by `--mode gallery` every state of it on one page, for eyes and tests.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  clearScreen: false,
  build: {
    target: ['es2022', 'safari15'],
    outDir: mode === 'gallery' ? 'dist-gallery' : 'dist',
    // Nothing inline: the CSP allows files of our own only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: mode === 'gallery' ? 'gallery.html' : 'index.html' },
  },
}));
