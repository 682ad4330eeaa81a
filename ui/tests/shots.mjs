// Pictures of the gallery, to look at: `npm run shots [-- STATE…]`, into `shots/`. Light and dark, at another size by WIDTH and HEIGHT.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT, browser, run, serve } from './stage.mjs';

const built = run('vite/bin/vite.js', ['build', '--mode', 'gallery', '--logLevel', 'error']);
if (built.status !== 0) throw new Error(built.stderr);
const out = join(ROOT, 'shots');
mkdirSync(out, { recursive: true });
const site = await serve('dist-gallery');
const chrome = await browser();
const width = Number(process.env['WIDTH'] ?? 1000);
const height = Number(process.env['HEIGHT'] ?? 720);
try {
  for (const scheme of process.env['SCHEME'] ? [process.env['SCHEME']] : ['light', 'dark']) {
    const context = await chrome.newContext({ viewport: { width, height }, colorScheme: /** @type {'light'|'dark'} */ (scheme) });
    const page = await context.newPage();
    await page.goto(`${site.url}/gallery.html`);
    const all = await page.evaluate(() => window.gallery.names);
    const wanted = process.argv.slice(2);
    for (const name of wanted.length > 0 ? wanted : all) {
      await page.goto(`${site.url}/gallery.html?state=${name}`);
      await page.evaluate(() => window.gallery.ready);
      await page.waitForTimeout(name.startsWith('mesh') ? 8000 : 250);
      await page.screenshot({ path: join(out, `${name}-${scheme}${width === 1000 ? '' : `-${width}`}.png`), fullPage: process.env['FULL'] !== undefined });
    }
    await context.close();
  }
} finally {
  await chrome.close();
  site.close();
}
