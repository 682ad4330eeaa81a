// Pictures of the gallery, to look at: `npm run shots [-- STATE…]`, into ORMESH_PICTURES or `shots/`; at another size by WIDTH and HEIGHT,
// of the whole page by FULL, in one theme by SCHEME, with larger text by TEXT (percent), with more contrast by CONTRAST, in forced colours
// by FORCED, finer by SCALE, of what was built before by BUILT.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { PICTURES, browser, run, serve, spread } from './stage.mjs';

if (!process.env['BUILT']) await run('vite/bin/vite.js', ['build', '--mode', 'gallery', '--logLevel', 'error']);
mkdirSync(PICTURES, { recursive: true });
const site = await serve('dist-gallery');
const chrome = await browser();
const width = Number(process.env['WIDTH'] ?? 1000);
const height = Number(process.env['HEIGHT'] ?? 720);
const text = process.env['TEXT'];
const forced = process.env['FORCED'];
const suffix = [width === 1000 ? '' : `-${width}`, text ? `-text${text}` : '', forced ? '-forced' : ''].join('');
try {
  const first = await chrome.newPage();
  await first.goto(`${site.url}/gallery.html`);
  const all = await first.evaluate(() => window.gallery.names);
  const wanted = process.argv.slice(2).length > 0 ? process.argv.slice(2) : all;
  for (const scheme of process.env['SCHEME'] ? [process.env['SCHEME']] : ['light', 'dark']) {
    await spread(
      wanted,
      3,
      async () => {
        const context = await chrome.newContext({
          viewport: { width, height },
          colorScheme: /** @type {'light'|'dark'} */ (scheme),
          reducedMotion: 'reduce',
          forcedColors: forced ? 'active' : 'none',
          contrast: process.env['CONTRAST'] ? 'more' : 'no-preference',
          deviceScaleFactor: Number(process.env['SCALE'] ?? 1),
        });
        return context.newPage();
      },
      async (name, page) => {
        await page.goto(`${site.url}/gallery.html?state=${name}`);
        await page.evaluate(() => window.gallery.ready);
        if (text) await page.evaluate((percent) => (document.documentElement.style.fontSize = `${percent}%`), text);
        await page.screenshot({ path: join(PICTURES, `${name}-${scheme}${suffix}.png`), fullPage: process.env['FULL'] !== undefined });
      },
    );
  }
} finally {
  await chrome.close();
  site.close();
}
