// Draws the app's icon and the tray's, in every size that Tauri and the systems want, from the shapes below: `npm run icons`.
// The files are committed; this is run again only when the drawing changes.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT, browser } from '../tests/stage.mjs';

const OUT = join(ROOT, '../icons');

/** The mark, as in `src/lib/parts/Mark.svelte`: two layers of an onion with a host on the outer one, round a core. */
const mark = `
  <path d="M48.2 14.3A24 24 0 1 0 55.8 35.1" stroke-width="5" fill="none" stroke="currentColor" stroke-linecap="round"/>
  <path d="M22.3 41.7A13.5 13.5 0 1 0 20 26" stroke-width="5" fill="none" stroke="currentColor" stroke-linecap="round"/>
  <circle cx="54.6" cy="23.8" r="5.6" fill="currentColor"/>
  <circle cx="32" cy="32" r="5.5" fill="currentColor"/>`;

/** The same for where pixels are few: without the inner layer, and bolder. */
const bold = `
  <path d="M46.9 15.9A22 22 0 1 0 53.8 34.5" stroke-width="7.5" fill="none" stroke="currentColor" stroke-linecap="round"/>
  <circle cx="53.2" cy="23.2" r="7.4" fill="currentColor"/>
  <circle cx="32" cy="32" r="9" fill="currentColor"/>`;

/** @param {number} size below 64 the ground fills the whole, so that the mark stays as large as it can be */
const app = (size) => {
  const inset = size < 64 ? 0 : 4;
  const side = 64 - 2 * inset;
  const scale = size < 32 ? 0.84 : size < 64 ? 0.74 : 0.64;
  const move = (64 - 64 * scale) / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="${size}" height="${size}">
    <defs><linearGradient id="g" x1="0" y1="0" x2="0.6" y2="1"><stop offset="0" stop-color="#8d63ea"/><stop offset="1" stop-color="#43218f"/></linearGradient></defs>
    <rect x="${inset}" y="${inset}" width="${side}" height="${side}" rx="${side * 0.225}" fill="url(#g)"/>
    <g color="#ffffff" transform="translate(${move} ${move}) scale(${scale})">${size < 32 ? bold : mark}</g></svg>`;
};

/** The tray's: told apart by shape, since it has one colour. Only where all is well does the mark's host sit in its ring; a mark of exclamation is in its place where something needs a person. */
const trays = {
  online: `<path d="M22.2 6.4A11.4 11.4 0 1 0 27.4 16.6" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round"/><circle cx="26.3" cy="10.6" r="3.4" fill="currentColor"/><circle cx="16" cy="16" r="5" fill="currentColor"/>`,
  connecting: `<circle cx="16" cy="16" r="11" fill="none" stroke="currentColor" stroke-width="3" stroke-dasharray="7.6 3.92" stroke-linecap="butt"/><circle cx="16" cy="16" r="3" fill="currentColor"/>`,
  problem: `<path d="M19.6 5.6A11 11 0 1 0 26.4 19.6" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round"/><circle cx="16" cy="16" r="5" fill="currentColor"/><path d="M26 3v6.5" stroke="currentColor" stroke-width="3.6" stroke-linecap="round"/><circle cx="26" cy="14.6" r="2.1" fill="currentColor"/>`,
  offline: `<circle cx="16" cy="16" r="11" fill="none" stroke="currentColor" stroke-width="3"/><path d="M8.3 23.7 23.7 8.3" stroke="currentColor" stroke-width="3"/>`,
  paused: `<circle cx="16" cy="16" r="11" fill="none" stroke="currentColor" stroke-width="3"/><path d="M13 11v10M19 11v10" stroke="currentColor" stroke-width="3"/>`,
};

/** For dark panels and for light ones. */
const INKS = { light: '#f4f1fa', dark: '#2a2438' };

const chrome = await browser();
const page = await chrome.newPage({ deviceScaleFactor: 1 });

/**
 * Renders a square SVG to an RGBA PNG.
 * @param {string} svg
 * @param {number} size
 */
async function png(svg, size) {
  await page.setViewportSize({ width: Math.max(size, 16), height: Math.max(size, 16) });
  await page.setContent(`<body style="margin:0;background:transparent"><img width="${size}" height="${size}" style="display:block" src="data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}">`);
  await page.locator('img').evaluate((image) => /** @type {HTMLImageElement} */ (image).decode());
  const file = await page.screenshot({ omitBackground: true, clip: { x: 0, y: 0, width: size, height: size } });
  // Tauri wants RGBA: byte 25 of a PNG is its colour type, 6 with alpha (PNG specification, 11.2.2).
  if (file[25] !== 6) throw new Error('a PNG without an alpha channel');
  return file;
}

/**
 * An ICO of PNG entries, as Windows reads them since Vista.
 * @param {{ size: number, file: Buffer }[]} images
 */
function ico(images) {
  const head = Buffer.alloc(6 + 16 * images.length);
  head.writeUInt16LE(1, 2);
  head.writeUInt16LE(images.length, 4);
  let at = head.length;
  images.forEach(({ size, file }, index) => {
    const entry = 6 + 16 * index;
    head.writeUInt8(size % 256, entry);
    head.writeUInt8(size % 256, entry + 1);
    head.writeUInt16LE(1, entry + 4);
    head.writeUInt16LE(32, entry + 6);
    head.writeUInt32LE(file.length, entry + 8);
    head.writeUInt32LE(at, entry + 12);
    at += file.length;
  });
  return Buffer.concat([head, ...images.map(({ file }) => file)]);
}

/**
 * An ICNS of PNG entries, by Apple's type codes for their sizes.
 * @param {{ type: string, file: Buffer }[]} images
 */
function icns(images) {
  const parts = images.map(({ type, file }) => {
    const head = Buffer.alloc(8);
    head.write(type, 'ascii');
    head.writeUInt32BE(file.length + 8, 4);
    return Buffer.concat([head, file]);
  });
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(8);
  head.write('icns', 'ascii');
  head.writeUInt32BE(body.length + 8, 4);
  return Buffer.concat([head, body]);
}

mkdirSync(join(OUT, 'tray'), { recursive: true });
/** @type {Map<number, Buffer>} */
const sizes = new Map();
for (const size of [16, 24, 32, 48, 64, 128, 256, 512, 1024]) sizes.set(size, await png(app(size), size));
const at = (/** @type {number} */ size) => /** @type {Buffer} */ (sizes.get(size));

writeFileSync(join(OUT, 'icon.svg'), app(512));
writeFileSync(join(OUT, '32x32.png'), at(32));
writeFileSync(join(OUT, '128x128.png'), at(128));
writeFileSync(join(OUT, '128x128@2x.png'), at(256));
writeFileSync(join(OUT, 'icon.png'), at(512));
writeFileSync(join(OUT, 'icon.ico'), ico([32, 16, 24, 48, 64, 256].map((size) => ({ size, file: at(size) }))));
const APPLE = { ic11: 32, ic12: 64, ic07: 128, ic13: 256, ic08: 256, ic14: 512, ic09: 512, ic10: 1024 };
writeFileSync(join(OUT, 'icon.icns'), icns(Object.entries(APPLE).map(([type, size]) => ({ type, file: at(size) }))));

for (const [state, shape] of Object.entries(trays))
  for (const [ink, colour] of Object.entries(INKS))
    for (const size of [32, 64]) {
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="${size}" height="${size}" color="${colour}">${shape}</svg>`;
      writeFileSync(join(OUT, 'tray', `${state}-${ink}${size === 64 ? '@2x' : ''}.png`), await png(svg, size));
    }

await chrome.close();
